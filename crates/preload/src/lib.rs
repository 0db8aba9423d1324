//! What the preloaded libraries share: the hook, and the bracket around it.
//!
//! They run inside other people's programs: in signal handlers, in children of `fork`, in threads that are being
//! cancelled, before `main`, and during `dlopen`. So nothing here allocates, locks, uses stdio, unwinds, or changes `errno`
//! of a call that has returned.
//!
//! Each library has a copy of its own, with its own statics: none sees the marks of another. What a symbol or a
//! section of the library is made of comes as a macro ([`library`], [`sites`]), for that library to invoke.
#![cfg_attr(not(test), no_std)]

pub mod buffers;
pub mod clock;
pub mod connection;
mod connections;
pub mod environment;
pub mod errno;
pub mod frame;
pub mod library;
pub mod line;
pub mod marks;
pub mod next;
pub mod owner;
pub mod raw;
pub mod site;
pub mod table;

/// Re-exported for the macros.
#[doc(hidden)]
pub use libc;

//! Virtual machines with other kernels.
//!
//! [`guest`] runs a command in one: that is all that proofs need to know.

pub mod architecture;
mod attach_types;
pub mod guest;
mod initramfs;
pub mod kernels;
mod kprobe_bench;
mod matrix;
mod qemu;

pub use kprobe_bench::kprobe_bench;
pub use matrix::run_tests;

//! Ends the last reference of precompiled `core` to Rust's unwinder.
//!
//! `core` is compiled for unwinding programs, and its frame tables name `rust_eh_personality`. The
//! hook never unwinds, so the symbol only has to exist; hidden, it stays out of the way of the
//! host program's own.
#![allow(
    unsafe_code,
    reason = "a symbol of this name can only be made in assembly"
)]

use core::arch::global_asm;

#[cfg(target_arch = "x86_64")]
macro_rules! trap {
    () => {
        "ud2"
    };
}
#[cfg(target_arch = "aarch64")]
macro_rules! trap {
    () => {
        "brk #1"
    };
}

global_asm!(
    ".globl rust_eh_personality",
    ".hidden rust_eh_personality",
    ".type rust_eh_personality, %function",
    "rust_eh_personality:",
    trap!(),
    ".size rust_eh_personality, . - rust_eh_personality",
);

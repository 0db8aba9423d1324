//! The eBPF programs of hookprobe.
//!
//! [`sites`] runs at the hook's probe sites, [`syscalls`] around `read(2)` and the write family, [`function`] around
//! a function named by `--symbol`. All of them keep the ledger: each hit raises one counter, and each of its outcomes
//! another. [`numbers`] is apart: it tells how an agent in a PID namespace of its own numbers processes.
#![no_std]
#![no_main]
#![feature(asm_experimental_arch)]
#![allow(
    clippy::inline_always,
    reason = "a program is one function: what is not inlined costs a call that old kernels refuse"
)]
#![allow(
    clippy::needless_pass_by_value,
    reason = "aya's macros pass the context by value"
)]
#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    reason = "registers are 64 bits wide, whatever they hold"
)]

mod arguments;
mod cells;
mod clock;
mod connections;
mod function;
mod maps;
mod numbers;
mod own_stack;
mod sites;
mod slots;
mod spans;
mod syscalls;
mod tally;
mod targets;
mod threads;

/// The loader looks at this: some helpers are only for programs under a GPL-compatible licence.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
#[allow(
    unsafe_code,
    reason = "a section of this name is what the kernel reads"
)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

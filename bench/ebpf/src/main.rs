//! The eBPF programs of the benches, which are no part of the product.
//!
//! [`bare`] does nothing, [`round_trip`] times a client, [`self_test`] fills a histogram with given values. What they
//! share with the programs of the product is the product's own source.
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

mod bare;
#[path = "../../../probe-ebpf/src/cells.rs"]
mod cells;
#[path = "../../../probe-ebpf/src/clock.rs"]
mod clock;
mod histogram;
#[path = "../../../probe-ebpf/src/syscalls/kernel_abi.rs"]
mod kernel_abi;
mod round_trip;
mod self_test;
mod shared;

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

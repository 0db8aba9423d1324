//! The arguments of a probe site: registers of a C call.
#![allow(
    unsafe_code,
    reason = "the compiler is told that memory may have changed"
)]

use core::arch::asm;

use aya_ebpf::programs::ProbeContext;

/// An argument of the call, as 64 bits.
///
/// Arguments are loaded where they are needed, and again where they are needed again: the compiler would load all
/// of them at the beginning, and put them on the stack, as it has few registers.
#[inline(always)]
pub fn argument(ctx: &ProbeContext, number: usize) -> u64 {
    // SAFETY: no instruction. What it tells the compiler is that memory may have changed.
    unsafe { asm!("") };
    ctx.arg(number).unwrap_or(0)
}

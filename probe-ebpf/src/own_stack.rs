//! Keeps the programs of uprobes off the kernel's private stacks.
//!
//! Kernels since 6.13 give programs of this type with a large stack a stack of their own for each CPU
//! (`bpf_enable_priv_stack` in `kernel/bpf/verifier.c`), as such programs do not run twice at a time on
//! one CPU. At a uprobe they do: the task can be preempted in the middle of the program, and another run
//! into the same probe. Both then work on the one stack: seen on 7.3 as registers of one call with those of
//! another. Programs with a tail call are excepted, so here is one, which is never made.
#![allow(
    unsafe_code,
    reason = "a tail call, and a volatile read of the value that it hangs on"
)]

use aya_ebpf::EbpfContext;
use aya_ebpf::macros::map;
use aya_ebpf::maps::ProgramArray;

/// Empty.
#[map]
static NO_PROGRAMS: ProgramArray = ProgramArray::with_max_entries(1, 0);

/// Always 0, which the compiler does not know.
#[unsafe(no_mangle)]
static NEVER: u8 = 0;

/// Has a program run on the stack of the task that it interrupted.
#[inline(always)]
pub fn keep_to_own_stack<C: EbpfContext>(ctx: &C) {
    // SAFETY: a static that nobody writes; volatile, so that the compiler does not take its value for
    // granted.
    if unsafe { core::ptr::read_volatile(&raw const NEVER) } != 0 {
        // SAFETY: the map is empty, so the call would fail and come back.
        unsafe { NO_PROGRAMS.tail_call(ctx, 0) };
    }
}

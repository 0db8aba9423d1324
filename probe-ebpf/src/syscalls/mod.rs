//! What brackets `read(2)` and the write family in the kernel. The agent attaches one of these
//! modules' pairs; [`crate::spans`] pairs entries with exits.
//!
//! [`generic`] sees every syscall of every process and looks at the number first; [`fentry`],
//! [`kprobe`] and [`named`] see those syscalls alone.
#![allow(
    unsafe_code,
    reason = "registers are read through the kernel's pointers, which the verifier checks"
)]

mod fentry;
mod generic;
mod kernel_abi;
mod kprobe;
mod named;

use aya_ebpf::EbpfContext;
use aya_ebpf::bindings::pt_regs;
use aya_ebpf::helpers::bpf_probe_read_kernel;
use aya_ebpf::macros::raw_tracepoint;
use aya_ebpf::programs::RawTracePointContext;

use self::kernel_abi::{typed_number, typed_word};
use crate::spans::{read_enter, read_exit, thread_end, write_enter, write_exit};

#[derive(Clone, Copy, PartialEq, Eq)]
enum Family {
    Read,
    Write,
}

#[inline(always)]
fn family(number: i64) -> Option<Family> {
    match number {
        kernel_abi::READ => Some(Family::Read),
        kernel_abi::WRITE | kernel_abi::WRITEV | kernel_abi::SENDTO | kernel_abi::SENDMSG => {
            Some(Family::Write)
        }
        _ => None,
    }
}

/// A syscall is entered.
#[inline(always)]
fn enter(family: Family, fd: i32) {
    match family {
        Family::Read => read_enter(fd),
        Family::Write => write_enter(fd),
    }
}

/// A syscall is left.
#[inline(always)]
fn exit<C: EbpfContext>(ctx: &C, family: Family, returned: i64) {
    match family {
        Family::Read => read_exit(returned),
        Family::Write => write_exit(ctx, returned),
    }
}

/// A word of a register set that the verifier does not know as such.
#[inline(always)]
fn probed_word(regs: *const pt_regs, word: usize) -> Option<u64> {
    // SAFETY: the helper checks the address.
    unsafe { bpf_probe_read_kernel(regs.cast::<u64>().wrapping_add(word)) }.ok()
}

#[raw_tracepoint(tracepoint = "sched_process_exit")]
pub fn thread_exit(_ctx: RawTracePointContext) -> i32 {
    thread_end();
    0
}

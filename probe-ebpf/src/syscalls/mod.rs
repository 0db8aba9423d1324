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
mod kprobe;
mod named;

use aya_ebpf::EbpfContext;
use aya_ebpf::bindings::pt_regs;
use aya_ebpf::helpers::bpf_probe_read_kernel;
use aya_ebpf::macros::raw_tracepoint;
use aya_ebpf::programs::RawTracePointContext;

use crate::spans::{read_enter, read_exit, thread_end, write_enter, write_exit};

/// Numbers of the syscalls, and where the kernel keeps number and first argument: `struct pt_regs`
/// of `arch/x86/include/asm/ptrace.h`.
#[cfg(bpf_target_arch = "x86_64")]
pub mod kernel_abi {
    pub const READ: i64 = 0;
    pub const WRITE: i64 = 1;
    pub const WRITEV: i64 = 20;
    pub const SENDTO: i64 = 44;
    pub const SENDMSG: i64 = 46;
    pub const READV: i64 = 19;
    pub const RECVFROM: i64 = 45;
    pub const RECVMSG: i64 = 47;
    pub const CLOSE: i64 = 3;
    pub const CONNECT: i64 = 42;
    /// `orig_ax`, in words.
    pub const NUMBER_WORD: usize = 15;
    /// `di`, in words.
    pub const FIRST_ARGUMENT_WORD: usize = 14;
    /// `si`, in words.
    pub const SECOND_ARGUMENT_WORD: usize = 13;
}

/// As above, `arch/arm64/include/asm/ptrace.h`: `regs[31]`, `sp`, `pc`, `pstate`, `orig_x0`,
/// `syscallno`. The kernel overwrites `regs[0]` with the result, and keeps `orig_x0`.
#[cfg(bpf_target_arch = "aarch64")]
pub mod kernel_abi {
    pub const READ: i64 = 63;
    pub const WRITE: i64 = 64;
    pub const WRITEV: i64 = 66;
    pub const SENDTO: i64 = 206;
    pub const SENDMSG: i64 = 211;
    pub const READV: i64 = 65;
    pub const RECVFROM: i64 = 207;
    pub const RECVMSG: i64 = 212;
    pub const CLOSE: i64 = 57;
    pub const CONNECT: i64 = 203;
    /// `syscallno`, an `s32` at the start of its word.
    pub const NUMBER_WORD: usize = 35;
    /// `orig_x0`, in words.
    pub const FIRST_ARGUMENT_WORD: usize = 34;
    /// `regs[1]`, in words.
    pub const SECOND_ARGUMENT_WORD: usize = 1;
}

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

/// A word of a register set that the verifier knows by its BTF type.
#[inline(always)]
pub fn typed_word(regs: *const pt_regs, word: usize) -> u64 {
    // SAFETY: the verifier allows just the loads that stay within the type.
    unsafe { *regs.cast::<u64>().wrapping_add(word) }
}

/// The syscall's number in a register set that the verifier knows by its BTF type. On arm64 the field is
/// 32 bits wide, and no load may reach beyond it.
#[inline(always)]
pub fn typed_number(regs: *const pt_regs) -> i64 {
    let field = regs.cast::<u64>().wrapping_add(kernel_abi::NUMBER_WORD);
    // SAFETY: the verifier allows just the loads that stay within the field.
    unsafe { *field.cast::<i32>() }.into()
}

#[raw_tracepoint(tracepoint = "sched_process_exit")]
pub fn thread_exit(_ctx: RawTracePointContext) -> i32 {
    thread_end();
    0
}

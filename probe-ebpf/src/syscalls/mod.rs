//! What brackets `read(2)` and the write family in the kernel: BTF tracepoints, raw tracepoints, or
//! kprobe and kretprobe. The agent attaches one of the three.
//!
//! The tracepoints see every syscall of every process, so they look at the number first.
#![allow(
    unsafe_code,
    reason = "registers are read through the kernel's pointers, which the verifier checks"
)]

use aya_ebpf::bindings::pt_regs;
use aya_ebpf::helpers::{bpf_ktime_get_ns, bpf_probe_read_kernel};
use aya_ebpf::macros::{btf_tracepoint, kprobe, kretprobe, raw_tracepoint};
use aya_ebpf::programs::{
    BtfTracePointContext, ProbeContext, RawTracePointContext, RetProbeContext,
};

use crate::spans::{read_enter, read_exit, thread_end, write_enter, write_exit};

/// Numbers of the syscalls, and where the kernel keeps number and first argument: `struct pt_regs`
/// of `arch/x86/include/asm/ptrace.h`.
#[cfg(bpf_target_arch = "x86_64")]
mod abi {
    pub const READ: i64 = 0;
    pub const WRITE: i64 = 1;
    pub const WRITEV: i64 = 20;
    pub const SENDTO: i64 = 44;
    pub const SENDMSG: i64 = 46;
    /// `orig_ax`, in words.
    pub const NUMBER_WORD: usize = 15;
    /// `di`, in words.
    pub const FIRST_ARGUMENT_WORD: usize = 14;
}

/// As above, `arch/arm64/include/asm/ptrace.h`: `regs[31]`, `sp`, `pc`, `pstate`, `orig_x0`,
/// `syscallno`. The kernel overwrites `regs[0]` with the result, and keeps `orig_x0`.
#[cfg(bpf_target_arch = "aarch64")]
mod abi {
    pub const READ: i64 = 63;
    pub const WRITE: i64 = 64;
    pub const WRITEV: i64 = 66;
    pub const SENDTO: i64 = 206;
    pub const SENDMSG: i64 = 211;
    /// `syscallno`, an `s32` at the start of its word.
    pub const NUMBER_WORD: usize = 35;
    /// `orig_x0`, in words.
    pub const FIRST_ARGUMENT_WORD: usize = 34;
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Family {
    Read,
    Write,
}

#[inline(always)]
fn family(number: i64) -> Option<Family> {
    match number {
        abi::READ => Some(Family::Read),
        abi::WRITE | abi::WRITEV | abi::SENDTO | abi::SENDMSG => Some(Family::Write),
        _ => None,
    }
}

#[inline(always)]
fn enter(family: Family, fd: i32) {
    // SAFETY: the helper has no preconditions.
    let now_ns = unsafe { bpf_ktime_get_ns() };
    match family {
        Family::Read => read_enter(fd, now_ns),
        Family::Write => write_enter(fd, now_ns),
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
fn typed_word(regs: *const pt_regs, word: usize) -> u64 {
    // SAFETY: the verifier allows just the loads that stay within the type.
    unsafe { *regs.cast::<u64>().wrapping_add(word) }
}

/// Syscall numbers are 32 bits wide in both register sets' words.
#[inline(always)]
fn as_number(word: u64) -> i64 {
    i64::from(word as u32 as i32)
}

#[btf_tracepoint(function = "sys_enter")]
pub fn btf_sys_enter(ctx: BtfTracePointContext) -> i32 {
    // TP_PROTO(struct pt_regs *regs, long id)
    if let Some(family) = family(ctx.arg(1)) {
        enter(
            family,
            typed_word(ctx.arg(0), abi::FIRST_ARGUMENT_WORD) as i32,
        );
    }
    0
}

#[btf_tracepoint(function = "sys_exit")]
pub fn btf_sys_exit(ctx: BtfTracePointContext) -> i32 {
    // TP_PROTO(struct pt_regs *regs, long ret)
    // SAFETY: the helper has no preconditions. First of all, so that the span is the syscall's.
    let now_ns = unsafe { bpf_ktime_get_ns() };
    match family(as_number(typed_word(ctx.arg(0), abi::NUMBER_WORD))) {
        Some(Family::Read) => read_exit(ctx.arg(1), now_ns),
        Some(Family::Write) => write_exit(&ctx, ctx.arg(1), now_ns),
        None => {}
    }
    0
}

#[raw_tracepoint(tracepoint = "sys_enter")]
pub fn raw_sys_enter(ctx: RawTracePointContext) -> i32 {
    if let Some(family) = family(ctx.arg(1))
        && let Some(fd) = probed_word(ctx.arg(0), abi::FIRST_ARGUMENT_WORD)
    {
        enter(family, fd as i32);
    }
    0
}

#[raw_tracepoint(tracepoint = "sys_exit")]
pub fn raw_sys_exit(ctx: RawTracePointContext) -> i32 {
    // SAFETY: the helper has no preconditions.
    let now_ns = unsafe { bpf_ktime_get_ns() };
    let Some(number) = probed_word(ctx.arg(0), abi::NUMBER_WORD) else {
        return 0;
    };
    match family(as_number(number)) {
        Some(Family::Read) => read_exit(ctx.arg(1), now_ns),
        Some(Family::Write) => write_exit(&ctx, ctx.arg(1), now_ns),
        None => {}
    }
    0
}

/// The descriptor that `__x64_sys_*` or `__arm64_sys_*` was called with: its only argument points
/// at the user's registers. On entry `di` or `x0` still hold it.
#[inline(always)]
fn wrapped_fd(ctx: &ProbeContext) -> Option<i32> {
    #[cfg(bpf_target_arch = "x86_64")]
    const WORD: usize = abi::FIRST_ARGUMENT_WORD;
    #[cfg(bpf_target_arch = "aarch64")]
    const WORD: usize = 0;
    let regs: *const pt_regs = ctx.arg(0)?;
    probed_word(regs, WORD).map(|word| word as i32)
}

#[kprobe]
pub fn kprobe_read_enter(ctx: ProbeContext) -> u32 {
    if let Some(fd) = wrapped_fd(&ctx) {
        enter(Family::Read, fd);
    }
    0
}

#[kretprobe]
pub fn kprobe_read_exit(ctx: RetProbeContext) -> u32 {
    // SAFETY: the helper has no preconditions.
    let now_ns = unsafe { bpf_ktime_get_ns() };
    read_exit(ctx.ret(), now_ns);
    0
}

#[kprobe]
pub fn kprobe_write_enter(ctx: ProbeContext) -> u32 {
    if let Some(fd) = wrapped_fd(&ctx) {
        enter(Family::Write, fd);
    }
    0
}

#[kretprobe]
pub fn kprobe_write_exit(ctx: RetProbeContext) -> u32 {
    // SAFETY: the helper has no preconditions.
    let now_ns = unsafe { bpf_ktime_get_ns() };
    write_exit(&ctx, ctx.ret(), now_ns);
    0
}

#[raw_tracepoint(tracepoint = "sched_process_exit")]
pub fn thread_exit(_ctx: RawTracePointContext) -> i32 {
    thread_end();
    0
}

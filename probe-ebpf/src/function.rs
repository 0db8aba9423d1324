//! A uprobe and uretprobe pair on the function named by `--symbol` or `--offset`, and what ends the
//! threads that are inside it.
#![allow(
    unsafe_code,
    reason = "the stack pointer is read from the probed registers, the return address from the stack"
)]

use abi::{Counter, EVENT_FUNCTION_CALL, FunctionCall, OpenCalls, SpanKind};
use aya_ebpf::bindings::pt_regs;
use aya_ebpf::helpers::bpf_probe_read_user;
use aya_ebpf::macros::{raw_tracepoint, uprobe, uretprobe};
use aya_ebpf::programs::{ProbeContext, RawTracePointContext, RetProbeContext};

use crate::clock::now_ns;
use crate::maps::{
    Recorded, add_span, count, count_hit_of_other, count_many, follow_calls, forget_calls,
    open_calls, record,
};
use crate::own_stack::keep_to_own_stack;
use crate::tally::Tally;
use crate::targets::{Current, Traced, current, observed};

/// What differs between architectures: where a call leaves its return address, and what the kernel
/// puts in its place.
#[cfg(bpf_target_arch = "x86_64")]
mod arch {
    use super::{pt_regs, read_user};

    /// How much of the stack a call takes, and a return gives back: the return address.
    pub const RETURN_ADDRESS_BYTES: u64 = 8;

    #[inline(always)]
    pub fn stack_pointer(regs: *const pt_regs) -> u64 {
        // SAFETY: the context of a probe is its registers.
        unsafe { (*regs).rsp }
    }

    /// Where the function will return to, at its first instruction.
    #[inline(always)]
    pub fn return_address(regs: *const pt_regs) -> Option<u64> {
        read_user(stack_pointer(regs))
    }

    /// The kernel's code for returns begins with a breakpoint or, since 6.11, with `push %rax; push
    /// %rcx; push %r11; mov $335, %rax` (`arch/x86/kernel/uprobes.c`).
    #[inline(always)]
    pub fn is_return_trap(code: u64) -> bool {
        code as u8 == 0xcc
            || code == u64::from_le_bytes([0x50, 0x51, 0x41, 0x53, 0x48, 0xc7, 0xc0, 0x4f])
    }
}

#[cfg(bpf_target_arch = "aarch64")]
mod arch {
    use super::pt_regs;

    pub const RETURN_ADDRESS_BYTES: u64 = 0;

    #[inline(always)]
    pub fn stack_pointer(regs: *const pt_regs) -> u64 {
        // SAFETY: the context of a probe is its registers.
        unsafe { (*regs).sp }
    }

    #[inline(always)]
    #[allow(
        clippy::unnecessary_wraps,
        reason = "other architectures read it from memory"
    )]
    pub fn return_address(regs: *const pt_regs) -> Option<u64> {
        // SAFETY: as above. Register 30 is the link register.
        Some(unsafe { (*regs).regs[30] })
    }

    /// `brk #5` (`arch/arm64/include/asm/brk-imm.h`).
    #[inline(always)]
    pub fn is_return_trap(code: u64) -> bool {
        code as u32 == 0xd420_00a0
    }
}

#[inline(always)]
fn read_user(address: u64) -> Option<u64> {
    // SAFETY: the helper checks the address.
    unsafe { bpf_probe_read_user(address as *const u64) }.ok()
}

/// Whether the function that is being entered returns to the kernel's code for returns: it has been
/// jumped to by a function whose own return is awaited.
#[inline(always)]
fn is_tail_call(regs: *const pt_regs) -> bool {
    arch::return_address(regs)
        .and_then(read_user)
        .is_some_and(arch::is_return_trap)
}

/// The open calls of the thread that runs, if its process is traced.
#[inline(always)]
fn calls_of(current: Current, arm: u32) -> Option<&'static mut OpenCalls> {
    let Some(calls) = open_calls(current.tid()) else {
        return follow_calls(current, arm);
    };
    if calls.tgid != current.tgid() {
        // The number was another thread's, whose end was not seen.
        count_many(calls.arm, Counter::FunctionThreadEnded, calls.depth());
        calls.reset(current.tgid(), arm);
    }
    Some(calls)
}

#[uprobe]
pub fn function_entry(ctx: ProbeContext) -> u32 {
    keep_to_own_stack(&ctx);
    let current = current();
    let Some(arm) = observed(current.tgid()).map(Traced::arm) else {
        count_hit_of_other();
        return 0;
    };
    let Some(calls) = calls_of(current, arm) else {
        count(arm, Counter::FunctionTableFull);
        return 0;
    };
    count(arm, Counter::FunctionHits);
    let entered = calls.enter(arch::stack_pointer(ctx.regs), || is_tail_call(ctx.regs));
    count_many(arm, Counter::FunctionLeft, entered.left);
    match entered.call {
        // Last of all, so that the span is the function's.
        Some(call) => call.enter_ns = now_ns(),
        None => {
            count(arm, Counter::FunctionTooDeep);
        }
    }
    0
}

#[uretprobe]
pub fn function_return(ctx: RetProbeContext) -> u32 {
    let now_ns = now_ns();
    keep_to_own_stack(&ctx);
    let current = current();
    if let Some(calls) = open_calls(current.tid())
        && calls.tgid == current.tgid()
    {
        let arm = calls.arm;
        let stack_pointer = arch::stack_pointer(ctx.regs) - arch::RETURN_ADDRESS_BYTES;
        let returned = calls.leave(stack_pointer);
        count_many(arm, Counter::FunctionLeft, returned.left);
        if let Some(call) = returned.call {
            add_span(arm, SpanKind::Function, now_ns - call.enter_ns);
            let call = FunctionCall {
                kind: EVENT_FUNCTION_CALL,
                arm,
                tgid: current.tgid(),
                tid: current.tid(),
                enter_ns: call.enter_ns,
                exit_ns: now_ns,
            };
            let outcome = match record(&mut Tally::of_cpu(arm), call) {
                Recorded::Yes => Counter::FunctionRecorded,
                Recorded::RingFull => Counter::FunctionRingFull,
            };
            count(arm, outcome);
            return 0;
        }
    }
    if let Some(arm) = observed(current.tgid()).map(Traced::arm) {
        count(arm, Counter::FunctionHits);
        count(arm, Counter::FunctionReturnAlone);
    }
    0
}

/// A thread ends: its number may be given to another.
#[raw_tracepoint(tracepoint = "sched_process_exit")]
pub fn function_thread_exit(_ctx: RawTracePointContext) -> i32 {
    end_calls(current().tid());
    0
}

/// A process executes another program, in the one thread that it has left: of the calls of that
/// thread, by the number that it had before, nothing remains.
#[raw_tracepoint(tracepoint = "sched_process_exec")]
pub fn function_exec(ctx: RawTracePointContext) -> i32 {
    let tid_before: i32 = ctx.arg(1);
    end_calls(tid_before as u32);
    0
}

#[inline(always)]
fn end_calls(tid: u32) {
    if let Some(calls) = open_calls(tid) {
        count_many(calls.arm, Counter::FunctionThreadEnded, calls.depth());
        forget_calls(tid);
    }
}

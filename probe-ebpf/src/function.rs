//! A uprobe and uretprobe pair on the function named by `--symbol`.
#![allow(
    unsafe_code,
    reason = "the stack pointer is read from the probed registers"
)]

use aya_ebpf::bindings::pt_regs;
use aya_ebpf::macros::{uprobe, uretprobe};
use aya_ebpf::programs::{ProbeContext, RetProbeContext};
use probe_common::{Call, Counter, EVENT_FUNCTION_CALL, FunctionCall, FunctionKey, SpanKind};

use crate::clock::now_ns;
use crate::maps::{Recorded, add_span, arm_of, count, current, insert_call, record, take_call};

/// The stack pointer, and how much of the stack the call instruction takes: on x86-64 the return
/// address, which the return takes off again.
#[cfg(bpf_target_arch = "x86_64")]
#[inline(always)]
fn stack_pointer(regs: *const pt_regs) -> (u64, u64) {
    // SAFETY: the context of a probe is its registers.
    (unsafe { (*regs).rsp }, 8)
}

#[cfg(bpf_target_arch = "aarch64")]
#[inline(always)]
fn stack_pointer(regs: *const pt_regs) -> (u64, u64) {
    // SAFETY: as above.
    (unsafe { (*regs).sp }, 0)
}

#[uprobe]
pub fn function_entry(ctx: ProbeContext) -> u32 {
    let current = current();
    let Some(arm) = arm_of(current.tgid) else {
        return 0;
    };
    let key = FunctionKey {
        stack_pointer: stack_pointer(ctx.regs).0,
        pid_tgid: current.pid_tgid,
    };
    if take_call(key).is_some() {
        count(arm, Counter::FunctionEntryAlone);
    }
    // Last of all, so that the span is the function's.
    let now_ns = now_ns();
    let call = Call {
        enter_ns: now_ns,
        arm: u64::from(arm),
    };
    let counter = if insert_call(key, call) {
        Counter::FunctionHits
    } else {
        Counter::FunctionTableFull
    };
    count(arm, counter);
    0
}

#[uretprobe]
pub fn function_return(ctx: RetProbeContext) -> u32 {
    let now_ns = now_ns();
    let current = current();
    let (stack_pointer, return_address) = stack_pointer(ctx.regs);
    let key = FunctionKey {
        stack_pointer: stack_pointer - return_address,
        pid_tgid: current.pid_tgid,
    };
    if let Some(call) = take_call(key) {
        let arm = call.arm as u32;
        add_span(arm, SpanKind::Function, now_ns - call.enter_ns);
        let call = FunctionCall {
            kind: EVENT_FUNCTION_CALL,
            arm,
            tgid: current.tgid,
            tid: current.tid,
            enter_ns: call.enter_ns,
            exit_ns: now_ns,
        };
        let outcome = match record(arm, call) {
            Recorded::Yes => Counter::FunctionRecorded,
            Recorded::RingFull => Counter::FunctionRingFull,
        };
        count(arm, outcome);
    } else if let Some(arm) = arm_of(current.tgid) {
        count(arm, Counter::FunctionHits);
        count(arm, Counter::FunctionReturnAlone);
    }
    0
}

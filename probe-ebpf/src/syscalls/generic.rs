//! The tracepoints `sys_enter` and `sys_exit`, which every syscall passes: with BTF, or raw.

use aya_ebpf::macros::{btf_tracepoint, raw_tracepoint};
use aya_ebpf::programs::{BtfTracePointContext, RawTracePointContext};

use super::{enter, exit, family, kernel_abi, probed_word, typed_number, typed_word};

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
            typed_word(ctx.arg(0), kernel_abi::FIRST_ARGUMENT_WORD) as i32,
        );
    }
    0
}

#[btf_tracepoint(function = "sys_exit")]
pub fn btf_sys_exit(ctx: BtfTracePointContext) -> i32 {
    // TP_PROTO(struct pt_regs *regs, long ret)
    if let Some(family) = family(typed_number(ctx.arg(0))) {
        exit(&ctx, family, ctx.arg(1));
    }
    0
}

#[raw_tracepoint(tracepoint = "sys_enter")]
pub fn raw_sys_enter(ctx: RawTracePointContext) -> i32 {
    if let Some(family) = family(ctx.arg(1))
        && let Some(fd) = probed_word(ctx.arg(0), kernel_abi::FIRST_ARGUMENT_WORD)
    {
        enter(family, fd as i32);
    }
    0
}

#[raw_tracepoint(tracepoint = "sys_exit")]
pub fn raw_sys_exit(ctx: RawTracePointContext) -> i32 {
    if let Some(number) = probed_word(ctx.arg(0), kernel_abi::NUMBER_WORD)
        && let Some(family) = family(as_number(number))
    {
        exit(&ctx, family, ctx.arg(1));
    }
    0
}

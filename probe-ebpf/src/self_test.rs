//! A program that is never attached: `probe-user kernel-histogram` runs it by `BPF_PROG_TEST_RUN`, so
//! that a test can see where the function of all the other programs puts a value.

use aya_ebpf::macros::raw_tracepoint;
use aya_ebpf::programs::RawTracePointContext;
use probe_common::{SELF_TEST_VALUES, SpanKind};

use crate::maps::add_span;

/// Adds its arguments, as many as a tracepoint can have, to the histogram of the first arm's function.
#[raw_tracepoint(tracepoint = "sys_enter")]
pub fn self_test_spans(ctx: RawTracePointContext) -> i32 {
    for argument in 0..SELF_TEST_VALUES {
        add_span(0, SpanKind::Function, ctx.arg(argument));
    }
    0
}

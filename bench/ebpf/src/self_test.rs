//! A program that is never attached: `bench kernel-histogram` runs it by `BPF_PROG_TEST_RUN`, so that a test can see
//! where the programs of the product put a value.

use aya_ebpf::macros::raw_tracepoint;
use aya_ebpf::programs::RawTracePointContext;

use crate::histogram::add_span;
use crate::shared::SELF_TEST_VALUES;

/// Adds its arguments, as many as a tracepoint can have, to the histogram.
#[raw_tracepoint(tracepoint = "sys_enter")]
pub fn self_test_spans(ctx: RawTracePointContext) -> i32 {
    // The verifier allows no argument of a number that is not constant.
    let values: [u64; SELF_TEST_VALUES] = [
        ctx.arg(0),
        ctx.arg(1),
        ctx.arg(2),
        ctx.arg(3),
        ctx.arg(4),
        ctx.arg(5),
        ctx.arg(6),
        ctx.arg(7),
        ctx.arg(8),
        ctx.arg(9),
        ctx.arg(10),
        ctx.arg(11),
    ];
    for value in values {
        add_span(value);
    }
    0
}

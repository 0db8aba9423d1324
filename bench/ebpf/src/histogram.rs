//! The one histogram that all programs here add to.
#![allow(
    unsafe_code,
    reason = "map values are reached through raw pointers that the kernel's verifier checks"
)]

use abi::layout::Spans;
use aya_ebpf::macros::map;
use aya_ebpf::maps::PerCpuArray;

use crate::cells;

#[map]
static SPANS: PerCpuArray<Spans> = PerCpuArray::with_max_entries(1, 0);

/// Adds a span, as the programs of the product do.
#[inline(always)]
pub fn add_span(span_ns: u64) {
    if let Some(spans) = SPANS.get_ptr_mut(0) {
        // SAFETY: the verifier has seen the null check; other writers use atomic instructions too.
        cells::add_span(unsafe { &mut *spans }, span_ns);
    }
}

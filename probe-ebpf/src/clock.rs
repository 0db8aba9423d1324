//! The clock of every program.
#![allow(unsafe_code, reason = "helpers are unsafe functions")]

use aya_ebpf::helpers::bpf_ktime_get_ns;

/// Nanoseconds on `CLOCK_MONOTONIC`.
#[inline(always)]
pub fn now_ns() -> u64 {
    // SAFETY: the helper has no preconditions.
    unsafe { bpf_ktime_get_ns() }
}

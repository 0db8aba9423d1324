//! Memory that others write to: numbers that programs add to at the same time, and what the loader has set. The
//! programs of the benches use this file too.
#![allow(
    unsafe_code,
    reason = "an atomic instruction in assembly, and a volatile read"
)]

use core::arch::asm;

use abi::layout::{BUCKETS, Spans, bucket_of};

/// Adds to a per-CPU value. Programs of uprobes can be preempted by others on the same CPU, so this
/// takes an atomic instruction. `core` has none for the instruction set that every kernel knows.
#[inline(always)]
pub fn add(value: &mut u64, amount: u64) {
    // SAFETY: the reference is to a live, aligned u64, which this adds to and nothing else.
    unsafe {
        asm!("lock *(u64 *)({value} + 0) += {amount}", value = in(reg) value, amount = in(reg) amount);
    }
}

/// Where a span has its place in a histogram.
#[inline(always)]
pub fn bucket(span_ns: u64) -> usize {
    bucket_of(span_ns)
}

/// Adds a span to a histogram and its sum.
#[inline(always)]
pub fn add_span(spans: &mut Spans, span_ns: u64) {
    let bucket = bucket(span_ns);
    if bucket < BUCKETS {
        add(&mut spans.buckets[bucket], 1);
    }
    add(&mut spans.sum_ns, span_ns);
}

/// What the loader has set a static to, before the program was loaded.
#[inline(always)]
pub fn setting<T: Copy>(of: &'static T) -> T {
    // SAFETY: a reference is valid for a read. Volatile, so that the compiler does not take the initial value for
    // granted.
    unsafe { core::ptr::read_volatile(of) }
}

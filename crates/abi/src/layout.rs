//! The histogram layout: log-linear buckets, bucket for bucket those of the `hdrhistogram` crate
//! with two significant digits, a lowest value of 1 and a highest of one minute.
//!
//! 256 sub-buckets of width 1 come first; then each doubling of the value adds 128 sub-buckets of
//! twice the width. So a bucket is at most 1/128 of its values wide: 0.8 %.
//! The layout is Gil Tene's: <https://github.com/HdrHistogram/HdrHistogram>.

use zerocopy::{FromBytes, IntoBytes};

/// Significant decimal digits.
pub const SIGNIFICANT_DIGITS: u8 = 2;

/// The largest value told apart: one minute.
pub const MAX_VALUE_NS: u64 = 60_000_000_000;

/// log2 of the number of sub-buckets: the smallest power of two that is at least 2 * 10^digits.
const SUB_BUCKET_BITS: u32 = 8;
const HALF: u32 = 1 << (SUB_BUCKET_BITS - 1);

/// Buckets of a histogram, the one that holds [`MAX_VALUE_NS`] being in the last doubling.
pub const BUCKETS: usize = ((doublings() + 2) * HALF) as usize;

/// The spans of one arm and kind, in one lane or on one CPU. It fits the kernel's limit of 32 KiB for a
/// per-CPU map value.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes)]
#[repr(C)]
pub struct Spans {
    /// How many fell into each bucket.
    pub buckets: [u64; BUCKETS],
    /// Their exact sum, in ns: means come from here, not from buckets. It is behind them, so that a copy
    /// taken meanwhile has it last.
    pub sum_ns: u64,
}

impl Spans {
    /// None.
    #[allow(
        clippy::large_stack_arrays,
        reason = "what is constant is not on a stack"
    )]
    pub const EMPTY: Self = Self {
        buckets: [0; BUCKETS],
        sum_ns: 0,
    };
}

/// How often the range of the first 256 values must be doubled to hold [`MAX_VALUE_NS`].
const fn doublings() -> u32 {
    let mut doublings = 0;
    while ((1_u64 << SUB_BUCKET_BITS) << doublings) <= MAX_VALUE_NS {
        doublings += 1;
    }
    doublings
}

/// How far a value of 16 bits must be shifted right to become one of 8 bits, by its upper 8 bits. eBPF
/// has no instruction that counts leading zeros: what compilers make of it are 30 instructions that wait for one
/// another.
static SHIFTS: [u8; 256] = {
    let mut shifts = [0; 256];
    let mut upper = 0;
    while upper < 256 {
        shifts[upper] = (usize::BITS - upper.leading_zeros()).to_le_bytes()[0];
        upper += 1;
    }
    shifts
};

/// The bucket of a value. Values beyond the range fall into the last bucket.
#[inline(always)]
#[allow(clippy::inline_always, reason = "eBPF programs are one function each")]
pub fn bucket_of(value: u64) -> usize {
    // Spans beyond 65 µs and 16 ms are rare, or come together: a processor foresees these comparisons.
    if value < 1 << 16 {
        bucket_of_16_bits(value, 0)
    } else if value < 1 << 24 {
        bucket_of_16_bits(value >> 8, 8)
    } else if value < 1 << 40 {
        // What is shifted out is less than a bucket's width.
        let (upper, shifted) = if value < 1 << 32 {
            (value >> 16, 16)
        } else {
            (value >> 24, 24)
        };
        bucket_of_16_bits(upper, shifted)
    } else {
        BUCKETS - 1
    }
}

/// The bucket of a value that was shifted right to 16 bits, by as many as `shifted`.
#[inline(always)]
#[allow(clippy::inline_always, reason = "eBPF programs are one function each")]
#[allow(
    clippy::cast_possible_truncation,
    reason = "compared with the number of buckets, as u64"
)]
fn bucket_of_16_bits(value: u64, shifted: u64) -> usize {
    let doubling = SHIFTS[(value >> SUB_BUCKET_BITS) as usize & 0xff];
    let bucket = (shifted + u64::from(doubling)) * u64::from(HALF) + (value >> doubling);
    if bucket < BUCKETS as u64 {
        bucket as usize
    } else {
        BUCKETS - 1
    }
}

/// The smallest value of a bucket.
pub const fn lowest_of(bucket: usize) -> u64 {
    let half = HALF as usize;
    if bucket < 2 * half {
        return bucket as u64;
    }
    let doubling = bucket / half - 1;
    ((bucket % half + half) as u64) << doubling
}

const _: () = assert!(size_of::<Spans>() <= 32 * 1024);

#[cfg(test)]
mod tests;

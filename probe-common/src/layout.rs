//! The histogram layout: log-linear buckets, bucket for bucket those of the `hdrhistogram` crate
//! with two significant digits, a lowest value of 1 and a highest of one minute.
//!
//! 256 sub-buckets of width 1 come first; then each doubling of the value adds 128 sub-buckets of
//! twice the width. So a bucket is at most 1/128 of its values wide: 0.8 %.
//! The layout is Gil Tene's: <https://github.com/HdrHistogram/HdrHistogram>.

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
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Spans {
    /// How many fell into each bucket.
    pub buckets: [u64; BUCKETS],
    /// Their exact sum, in ns: means come from here, not from buckets. It is behind them, so that a copy
    /// taken meanwhile has it last.
    pub sum_ns: u64,
}

/// How often the range of the first 256 values must be doubled to hold [`MAX_VALUE_NS`].
const fn doublings() -> u32 {
    let mut doublings = 0;
    while ((1_u64 << SUB_BUCKET_BITS) << doublings) <= MAX_VALUE_NS {
        doublings += 1;
    }
    doublings
}

/// The bucket of a value. Values beyond the range fall into the last bucket.
///
/// The value has to be shifted right until it is a number of 8 bits. How far, eBPF has no instruction to tell:
/// what compilers make of `leading_zeros` are 30 instructions that wait for one another. These are
/// comparisons, which a processor foresees.
#[inline(always)]
#[allow(clippy::inline_always, reason = "eBPF programs are one function each")]
#[must_use]
#[allow(
    clippy::cast_possible_truncation,
    reason = "compared with the number of buckets, as u64; try_from is not const"
)]
pub const fn bucket_of(value: u64) -> usize {
    let place = Place {
        sub_bucket: value,
        first: 0,
    };
    let place = place
        .halved_above(SUB_BUCKET_BITS + 16, 16)
        .halved_above(SUB_BUCKET_BITS + 8, 8)
        .halved_above(SUB_BUCKET_BITS + 4, 4)
        .halved_above(SUB_BUCKET_BITS + 2, 2)
        .halved_above(SUB_BUCKET_BITS + 1, 1)
        .halved_above(SUB_BUCKET_BITS, 1);
    let bucket = place.first + place.sub_bucket;
    if bucket < BUCKETS as u64 {
        bucket as usize
    } else {
        BUCKETS - 1
    }
}

/// A value on its way to its bucket.
struct Place {
    /// What is left of the value.
    sub_bucket: u64,
    /// The bucket of sub-bucket 0 of its doubling.
    first: u64,
}

impl Place {
    /// Halves what has more than so many bits, so many times.
    #[inline(always)]
    #[allow(clippy::inline_always, reason = "eBPF programs are one function each")]
    const fn halved_above(self, bits: u32, times: u32) -> Self {
        if self.sub_bucket < 1 << bits {
            return self;
        }
        Self {
            sub_bucket: self.sub_bucket >> times,
            first: self.first + (HALF * times) as u64,
        }
    }
}

/// The smallest value of a bucket.
#[must_use]
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
mod tests {
    extern crate std;

    use hdrhistogram::Histogram as Reference;

    use super::*;

    fn reference() -> Reference<u64> {
        Reference::new_with_bounds(1, MAX_VALUE_NS, SIGNIFICANT_DIGITS).unwrap()
    }

    #[test]
    fn the_number_of_buckets_is_the_references() {
        assert_eq!(BUCKETS, reference().distinct_values());
    }

    #[test]
    fn buckets_begin_where_the_references_begin() {
        let reference = reference();
        for bucket in 0..BUCKETS {
            let lowest = lowest_of(bucket);
            assert_eq!(bucket_of(lowest), bucket);
            assert_eq!(
                reference.lowest_equivalent(lowest),
                lowest,
                "bucket {bucket}"
            );
            let highest = reference.highest_equivalent(lowest);
            assert_eq!(bucket_of(highest), bucket, "bucket {bucket}");
            if bucket + 1 < BUCKETS {
                assert_eq!(bucket_of(highest + 1), bucket + 1);
            }
        }
    }

    #[test]
    fn values_recorded_by_bucket_are_recorded_alike() {
        let mut ours = std::vec![0_u64; BUCKETS];
        let mut reference = reference();
        let mut value = 1_u64;
        for step in 0..1_000_000_u64 {
            value = value
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(step);
            let value = ((value >> 8) % MAX_VALUE_NS) >> (step % 36);
            ours[bucket_of(value)] += 1;
            reference.record(value).unwrap();
        }
        for (bucket, count) in ours.iter().enumerate() {
            assert_eq!(
                reference.count_at(lowest_of(bucket)),
                *count,
                "bucket {bucket}"
            );
        }
    }

    #[test]
    fn values_out_of_range_fall_into_the_last_bucket() {
        assert_eq!(bucket_of(u64::MAX), BUCKETS - 1);
        assert_eq!(bucket_of(0), 0);
        assert!(bucket_of(MAX_VALUE_NS) < BUCKETS);
    }
}

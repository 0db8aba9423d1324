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

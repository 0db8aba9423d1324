use std::collections::BTreeSet;
use std::fmt::Write as _;

use abi::layout::{BUCKETS, bucket_of};

use super::*;

#[test]
fn the_list_has_what_is_made_and_nothing_else() {
    let snapshot = Snapshot {
        arms: Arms::default(),
        totals: Vec::new(),
        seen: Vec::new(),
    };
    let families = families(&snapshot);
    let made: BTreeSet<&str> = families.iter().map(MetricFamily::name).collect();
    let listed: BTreeSet<&str> = rows().map(|[name, ..]| name).collect();
    assert_eq!(made, listed);
    assert_eq!(families.len(), rows().count(), "each once");
    for [name, kind, _, help] in rows() {
        assert!(["counter", "gauge", "histogram"].contains(&kind), "{name}");
        assert!(help.ends_with('.'), "{name}: {help}");
    }
}

#[test]
fn the_document_has_the_list() {
    let mut table = String::new();
    for [name, kind, labels, help] in rows() {
        writeln!(table, "| `{name}` | {kind} | {labels} | {help} |").unwrap();
    }
    let document = include_str!("../../../../docs/agent.md");
    assert!(
        document.contains(&table),
        "docs/agent.md must have\n{table}"
    );
}

#[test]
fn bounds_are_bounds_of_the_kernels_buckets() {
    let bounds: Vec<u64> = bounds_ns().collect();
    assert_eq!(bounds.first(), Some(&63));
    assert_eq!(bounds.last(), Some(&((1 << 30) - 1)));
    for bound in bounds {
        assert_eq!(lowest_of(bucket_of(bound + 1)), bound + 1, "{bound}");
    }
}

#[test]
#[allow(clippy::float_cmp, reason = "bounds are made in the same way")]
fn each_span_is_counted_from_its_bound_on() {
    let mut spans = Total::default();
    for span_ns in [0, 63, 64, 95, 96, 1 << 29, 2 << 30] {
        spans.buckets[bucket_of(span_ns)] += 1;
    }
    spans.sum_ns = 2_500_000_000;
    let metric = histogram(Vec::new(), &spans);
    let histogram = metric.get_histogram();
    let at = |bound_ns: u64| {
        let bound = bound_ns as f64 / 1e9;
        let mut buckets = histogram.get_bucket().iter();
        buckets
            .find(|bucket| bucket.upper_bound() == bound)
            .unwrap()
            .cumulative_count()
    };
    assert_eq!([at(63), at(95), at(127)], [2, 4, 5]);
    assert_eq!(at((1 << 29) - 1), 5);
    assert_eq!(at((1 << 30) - 1), 6, "the last is beyond all bounds");
    assert_eq!(histogram.get_sample_count(), 7);
    assert!((histogram.get_sample_sum() - 2.5).abs() < 1e-12);
    assert_eq!(spans.buckets.len(), BUCKETS);
}

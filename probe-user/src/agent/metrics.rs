//! A snapshot as Prometheus metrics.
//!
//! The kernel's histograms have some thousand buckets, of which few bounds are shown: two in each doubling. They are
//! bounds of the kernel's buckets too, so the counts are exact.

use abi::SpanKind;
use abi::layout::lowest_of;
use prometheus::TextEncoder;
use prometheus::proto::{
    Bucket, Counter, Gauge, Histogram, LabelPair, Metric, MetricFamily, MetricType,
};
use runlog::agent::ArmInContainer;

use crate::agent::snapshot::Snapshot;
use probes::spans::Total;

/// The first bound lies below 2^6 ns, the last below 2^30 ns: from 63 ns to 1.07 s.
const DOUBLINGS: std::ops::RangeInclusive<u32> = 6..=30;

/// The histograms: name, what it is of, help.
const HISTOGRAMS: [(&str, SpanKind, &str); 3] = [
    (
        "hookprobe_hook_overhead_seconds",
        SpanKind::HookOverhead,
        "What the hook adds to one call of read: hook span minus inner span.",
    ),
    (
        "hookprobe_read_syscall_seconds",
        SpanKind::ReadSyscall,
        "read(2) inside the kernel, of all calls of the arm.",
    ),
    (
        "hookprobe_write_syscall_seconds",
        SpanKind::WriteSyscall,
        "The write family inside the kernel, on connections that the hook tracks.",
    ),
];

/// The text that Prometheus reads.
pub fn text(snapshot: &Snapshot) -> prometheus::Result<String> {
    let families: Vec<MetricFamily> = families(snapshot)
        .into_iter()
        // An arm may be yet to come; a family without metrics has no text.
        .filter(|family| !family.get_metric().is_empty())
        .collect();
    TextEncoder::new().encode_to_string(&families)
}

fn families(snapshot: &Snapshot) -> Vec<MetricFamily> {
    let mut families: Vec<MetricFamily> = HISTOGRAMS
        .iter()
        .map(|(name, kind, help)| {
            let of_arms = snapshot.arms.arms.iter().zip(&snapshot.totals);
            let metrics =
                of_arms.map(|(arm, totals)| histogram(labels_of(arm), totals.spans(*kind)));
            family(name, help, MetricType::HISTOGRAM, metrics)
        })
        .collect();
    families.extend(ledger(snapshot));
    families.extend(watching(snapshot));
    families
}

fn ledger(snapshot: &Snapshot) -> Vec<MetricFamily> {
    type Part = fn(&runlog::analysis::LedgerRow) -> u64;
    let parts: [(&str, &str, Part); 4] = [
        ("hits", "Hits of the probe.", |row| row.hits),
        ("recorded", "Hits that are in the histograms.", |row| {
            row.recorded
        }),
        ("dropped", "Hits that found no room.", |row| row.dropped),
        ("unpaired", "Hits without their counterpart.", |row| {
            row.unpaired
        }),
    ];
    let arms = &snapshot.arms.arms;
    let mut families: Vec<MetricFamily> = parts
        .into_iter()
        .map(|(name, help, part)| {
            let metrics = arms.iter().flat_map(|arm| {
                arm.ledger.probes.iter().map(move |(probe, row)| {
                    let mut labels = labels_of(arm);
                    labels.push(label("probe", probe));
                    counter(labels, part(row) as f64)
                })
            });
            family(
                &format!("hookprobe_probe_{name}_total"),
                help,
                MetricType::COUNTER,
                metrics,
            )
        })
        .collect();
    let missed = snapshot.arms.missed.iter();
    let missed =
        missed.map(|(program, count)| counter(vec![label("probe", program)], *count as f64));
    families.push(family(
        "hookprobe_probe_missed_total",
        "Hits that the kernel has passed over, of all arms, by the program that it did not run.",
        MetricType::COUNTER,
        missed,
    ));
    let balanced = arms
        .iter()
        .map(|arm| gauge(labels_of(arm), flag(arm.ledger.balanced)));
    families.push(family(
        "hookprobe_ledger_balanced",
        "1 if every hit is accounted for.",
        MetricType::GAUGE,
        balanced,
    ));
    families
}

fn watching(snapshot: &Snapshot) -> Vec<MetricFamily> {
    let state = &snapshot.arms;
    let of_arms = |value: fn(&ArmInContainer) -> f64, metric: fn(Vec<LabelPair>, f64) -> Metric| {
        let metrics = state.arms.iter();
        metrics.map(move |arm| metric(labels_of(arm), value(arm)))
    };
    let failures = state.failures.iter();
    let failures =
        failures.map(|(reason, count)| counter(vec![label("reason", reason)], *count as f64));
    let one = |metric: Metric| std::iter::once(metric);
    vec![
        family(
            "hookprobe_attached",
            "1 if the arm has processes there, and all of them are observed.",
            MetricType::GAUGE,
            of_arms(|arm| flag(arm.attached), gauge),
        ),
        family(
            "hookprobe_processes",
            "Processes of the arm.",
            MetricType::GAUGE,
            of_arms(|arm| arm.processes.len() as f64, gauge),
        ),
        family(
            "hookprobe_unobserved_seconds_total",
            "Time that processes of the arm ran before they were observed.",
            MetricType::COUNTER,
            of_arms(|arm| arm.unobserved_s, counter),
        ),
        family(
            "hookprobe_attach_failures_total",
            "What could not be watched.",
            MetricType::COUNTER,
            failures,
        ),
        family(
            "hookprobe_attaches_total",
            "Hook libraries that were attached to.",
            MetricType::COUNTER,
            one(counter(Vec::new(), state.attaches as f64)),
        ),
        family(
            "hookprobe_series_forgotten_total",
            "Arms in containers whose figures had to make room for others.",
            MetricType::COUNTER,
            one(counter(Vec::new(), state.forgotten as f64)),
        ),
        family(
            "hookprobe_hits_of_other_processes_total",
            "Hits of the hook's sites by processes of no arm.",
            MetricType::COUNTER,
            one(counter(Vec::new(), state.hits_of_other_processes as f64)),
        ),
        family(
            "hookprobe_agent_cpu_seconds_total",
            "CPU time of the agent itself.",
            MetricType::COUNTER,
            one(counter(Vec::new(), state.agent.cpu_s)),
        ),
        family(
            "hookprobe_agent_resident_memory_bytes",
            "Resident memory of the agent itself.",
            MetricType::GAUGE,
            one(gauge(Vec::new(), state.agent.resident_bytes as f64)),
        ),
        family(
            "hookprobe_agent_kernel_memory_bytes",
            "Kernel memory of the histograms.",
            MetricType::GAUGE,
            one(gauge(Vec::new(), state.probes.histogram_bytes as f64)),
        ),
        family(
            "hookprobe_build_info",
            "Version of the agent.",
            MetricType::GAUGE,
            one(gauge(
                vec![label("version", env!("CARGO_PKG_VERSION"))],
                1.0,
            )),
        ),
        family(
            "hookprobe_kernel_probe_info",
            "What brackets read(2) in the kernel.",
            MetricType::GAUGE,
            one(gauge(vec![label("type", &state.probes.kernel_probe)], 1.0)),
        ),
    ]
}

/// Largest values that are below 2^n and 1.5 times 2^n ns, in nanoseconds.
fn bounds_ns() -> impl Iterator<Item = u64> {
    DOUBLINGS
        .flat_map(|power| {
            let whole = 1_u64 << power;
            [whole - 1, whole + whole / 2 - 1]
        })
        .take(2 * DOUBLINGS.count() - 1)
}

fn histogram(labels: Vec<LabelPair>, spans: &Total) -> Metric {
    let mut counts = (0..).map(lowest_of).zip(&spans.buckets).peekable();
    let mut below = 0;
    let buckets = bounds_ns().map(|bound_ns| {
        while let Some((_, count)) = counts.next_if(|(lowest_ns, _)| *lowest_ns <= bound_ns) {
            below += count;
        }
        let mut bucket = Bucket::default();
        bucket.set_upper_bound(bound_ns as f64 / 1e9);
        bucket.set_cumulative_count(below);
        bucket
    });
    let mut histogram = Histogram::default();
    histogram.set_bucket(buckets.collect());
    histogram.set_sample_count(spans.count());
    histogram.set_sample_sum(spans.sum_ns as f64 / 1e9);
    let mut metric = Metric::from_label(labels);
    metric.set_histogram(histogram);
    metric
}

fn counter(labels: Vec<LabelPair>, value: f64) -> Metric {
    let mut counter = Counter::default();
    counter.set_value(value);
    let mut metric = Metric::from_label(labels);
    metric.set_counter(counter);
    metric
}

fn gauge(labels: Vec<LabelPair>, value: f64) -> Metric {
    let mut gauge = Gauge::default();
    gauge.set_value(value);
    let mut metric = Metric::from_label(labels);
    metric.set_gauge(gauge);
    metric
}

fn family(
    name: &str,
    help: &str,
    of_type: MetricType,
    metrics: impl Iterator<Item = Metric>,
) -> MetricFamily {
    let mut family = MetricFamily::default();
    family.set_name(name.to_owned());
    family.set_help(help.to_owned());
    family.set_field_type(of_type);
    family.set_metric(metrics.collect());
    family
}

fn labels_of(arm: &ArmInContainer) -> Vec<LabelPair> {
    vec![
        label("arm", &arm.arm),
        label("container", &arm.container),
        label("pod", &arm.pod),
    ]
}

fn label(name: &str, value: &str) -> LabelPair {
    let mut label = LabelPair::default();
    label.set_name(name.to_owned());
    label.set_value(value.to_owned());
    label
}

fn flag(value: bool) -> f64 {
    f64::from(u8::from(value))
}

#[cfg(test)]
mod tests {
    use abi::layout::{BUCKETS, bucket_of};

    use super::*;

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
}

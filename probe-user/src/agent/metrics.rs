//! A snapshot as Prometheus metrics.
//!
//! The kernel's histograms have some thousand buckets, of which few bounds are shown: two in each doubling. They are
//! bounds of the kernel's buckets too, so the counts are exact.

use std::collections::BTreeMap;
use std::iter;

use abi::SpanKind;
use abi::layout::lowest_of;
use prometheus::TextEncoder;
use prometheus::proto::{
    Bucket, Counter, Gauge, Histogram, LabelPair, Metric, MetricFamily, MetricType,
};
use runlog::agent::{ArmInContainer, Arms};
use runlog::analysis::LedgerRow;

use crate::agent::snapshot::Snapshot;
use probes::spans::Total;

/// The first bound lies below 2^6 ns, the last below 2^30 ns: from 63 ns to 1.07 s.
const DOUBLINGS: std::ops::RangeInclusive<u32> = 6..=30;

/// All metrics: name, type, labels, help.
const LIST: &str = include_str!("../../metrics.txt");

/// The histograms, and what they are of.
const HISTOGRAMS: [(&str, SpanKind); 3] = [
    ("hookprobe_hook_overhead_seconds", SpanKind::HookOverhead),
    ("hookprobe_read_syscall_seconds", SpanKind::ReadSyscall),
    ("hookprobe_write_syscall_seconds", SpanKind::WriteSyscall),
];

/// A value and its labels.
type Labelled = (Vec<LabelPair>, f64);

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
    let has_probes = snapshot.arms.probes_missing.is_none();
    let of_arms = || {
        let counted = snapshot.totals.iter().zip(&snapshot.seen);
        snapshot.arms.arms.iter().zip(counted)
    };
    let histograms = HISTOGRAMS.iter().map(|(name, kind)| {
        let is_by_hook = *kind == SpanKind::HookOverhead;
        let metrics = of_arms().flat_map(|(arm, (totals, seen))| {
            let of = |source: &str, trial_arm: &str, spans: &Total| {
                let mut labels = labels_of(arm);
                if is_by_hook {
                    labels.extend([label("trial_arm", trial_arm), label("source", source)]);
                }
                histogram(labels, spans)
            };
            let probed = has_probes.then(|| of("ebpf", "", totals.spans(*kind)));
            let recorded = seen.overhead.iter().filter(|_| is_by_hook);
            let recorded = recorded.map(|(trial_arm, spans)| of("shared_memory", trial_arm, spans));
            probed.into_iter().chain(recorded).collect::<Vec<_>>()
        });
        family(name, metrics)
    });
    let state = &snapshot.arms;
    let ledger = ledger(state);
    histograms.chain(ledger).chain(watching(state)).collect()
}

fn ledger(state: &Arms) -> impl Iterator<Item = MetricFamily> {
    type Part = fn(&LedgerRow) -> u64;
    let parts: [(&str, Part); 4] = [
        ("hookprobe_probe_hits_total", |row| row.hits),
        ("hookprobe_probe_recorded_total", |row| row.recorded),
        ("hookprobe_probe_dropped_total", |row| row.dropped),
        ("hookprobe_probe_unpaired_total", |row| row.unpaired),
    ];
    parts.into_iter().map(|(name, part)| {
        let rows = state.arms.iter().flat_map(|arm| {
            arm.ledger.probes.iter().map(move |(probe, row)| {
                let mut labels = labels_of(arm);
                labels.push(label("probe", probe));
                (labels, part(row) as f64)
            })
        });
        numbers(name, rows)
    })
}

fn watching(state: &Arms) -> [MetricFamily; 16] {
    let of_arms = |name, value: fn(&ArmInContainer) -> f64| {
        let arms = state.arms.iter();
        numbers(name, arms.map(|arm| (labels_of(arm), value(arm))))
    };
    let by = |name, key, counts: &BTreeMap<String, u64>| {
        let counts = counts.iter();
        numbers(
            name,
            counts.map(|(value, count)| (vec![label(key, value)], *count as f64)),
        )
    };
    let one = |name, value| numbers(name, iter::once((Vec::new(), value)));
    let info = |name, key, value| numbers(name, iter::once((vec![label(key, value)], 1.0)));
    let version = env!("CARGO_PKG_VERSION");
    [
        by("hookprobe_probe_missed_total", "probe", &state.missed),
        of_arms("hookprobe_ledger_balanced", |arm| flag(arm.ledger.balanced)),
        of_arms("hookprobe_attached", |arm| flag(arm.attached)),
        of_arms("hookprobe_processes", |arm| arm.processes.len() as f64),
        of_arms("hookprobe_processes_in_shared_memory", |arm| {
            let read = arm.processes.iter();
            read.filter(|process| process.shared_memory).count() as f64
        }),
        one(
            "hookprobe_probes_loaded",
            flag(state.probes_missing.is_none()),
        ),
        of_arms("hookprobe_unobserved_seconds_total", |arm| arm.unobserved_s),
        by("hookprobe_attach_failures_total", "reason", &state.failures),
        one("hookprobe_attaches_total", state.attaches as f64),
        one("hookprobe_series_forgotten_total", state.forgotten as f64),
        one(
            "hookprobe_hits_of_other_processes_total",
            state.hits_of_other_processes as f64,
        ),
        one("hookprobe_agent_cpu_seconds_total", state.agent.cpu_s),
        one(
            "hookprobe_agent_resident_memory_bytes",
            state.agent.resident_bytes as f64,
        ),
        one(
            "hookprobe_agent_kernel_memory_bytes",
            state.probes.histogram_bytes as f64,
        ),
        info("hookprobe_build_info", "version", version),
        // Empty without probes.
        numbers(
            "hookprobe_kernel_probe_info",
            iter::once(&state.probes.kernel_probe)
                .filter(|_| state.probes_missing.is_none())
                .map(|probe| (vec![label("type", probe)], 1.0)),
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

/// A family of counters or gauges, whichever the list says.
fn numbers(name: &str, values: impl Iterator<Item = Labelled>) -> MetricFamily {
    let is_gauge = kind_and_help(name).0 == MetricType::GAUGE;
    let metrics = values.map(|(labels, value)| {
        let mut metric = Metric::from_label(labels);
        if is_gauge {
            let mut gauge = Gauge::default();
            gauge.set_value(value);
            metric.set_gauge(gauge);
        } else {
            let mut counter = Counter::default();
            counter.set_value(value);
            metric.set_counter(counter);
        }
        metric
    });
    family(name, metrics)
}

fn family(name: &str, metrics: impl Iterator<Item = Metric>) -> MetricFamily {
    let (kind, help) = kind_and_help(name);
    let mut family = MetricFamily::default();
    family.set_name(name.to_owned());
    family.set_help(help.to_owned());
    family.set_field_type(kind);
    family.set_metric(metrics.collect());
    family
}

/// Type and help of a metric. A test holds that the list has all.
fn kind_and_help(name: &str) -> (MetricType, &'static str) {
    let row = rows().find(|row| row[0] == name);
    let [_, kind, _, help] = row.unwrap_or_default();
    let kind = match kind {
        "gauge" => MetricType::GAUGE,
        "histogram" => MetricType::HISTOGRAM,
        _ => MetricType::COUNTER,
    };
    (kind, help)
}

/// The rows of the list: name, type, labels, help.
fn rows() -> impl Iterator<Item = [&'static str; 4]> {
    let lines = LIST.lines().filter(|line| !line.starts_with('#'));
    lines.map(|line| {
        let mut rest = line;
        [(); 4].map(|()| {
            let (column, behind) = rest.split_once("  ").unwrap_or((rest, ""));
            rest = behind.trim_start();
            column
        })
    })
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
mod tests;

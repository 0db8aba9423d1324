//! Histograms and sums, read from the kernel without stopping the probes.

use anyhow::Context as _;
use aya::Ebpf;
use aya::maps::{PerCpuArray, PerCpuValues};
use hdrhistogram::Histogram;
use probe_common::SpanKind;
use probe_common::layout::{self, Spans};
use runlog::interval_log::new_histogram;

/// The histogram of an arm's spans of one kind, over all CPUs.
pub fn histogram(ebpf: &Ebpf, arm: u32, kind: SpanKind) -> anyhow::Result<Histogram<u64>> {
    let mut histogram = new_histogram();
    for Spans { buckets, .. } in per_cpu(ebpf, arm, kind)?.iter() {
        for (bucket, count) in buckets.iter().enumerate().filter(|(_, count)| **count > 0) {
            // Both layouts have the same buckets, so nothing moves.
            histogram.saturating_record_n(layout::lowest_of(bucket), *count);
        }
    }
    Ok(histogram)
}

/// The exact sum of an arm's spans of one kind, over all CPUs, in nanoseconds.
pub fn sum_ns(ebpf: &Ebpf, arm: u32, kind: SpanKind) -> anyhow::Result<u64> {
    let per_cpu = per_cpu(ebpf, arm, kind)?;
    Ok(per_cpu.iter().map(|spans| spans.sum_ns).sum())
}

/// An arm's spans of one kind, as each CPU has them.
pub fn per_cpu(ebpf: &Ebpf, arm: u32, kind: SpanKind) -> anyhow::Result<PerCpuValues<Spans>> {
    let map = ebpf.map("HISTOGRAMS").context("no map HISTOGRAMS")?;
    let map: PerCpuArray<_, Spans> = map.try_into()?;
    Ok(map.get(&kind.index(arm), 0)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_layout_is_the_run_logs_layout() {
        assert_eq!(
            layout::SIGNIFICANT_DIGITS,
            runlog::interval_log::SIGNIFICANT_DIGITS
        );
        assert_eq!(layout::MAX_VALUE_NS, runlog::interval_log::MAX_VALUE_NS);
        let mut histogram = new_histogram();
        for bucket in 0..layout::BUCKETS {
            histogram.saturating_record(layout::lowest_of(bucket));
        }
        assert!(
            histogram
                .iter_recorded()
                .all(|step| step.count_at_value() == 1)
        );
        assert_eq!(histogram.len(), layout::BUCKETS as u64);
    }
}

//! Histograms and sums, read from the kernel without stopping the probes.

use abi::layout::{self, BUCKETS, Spans};
use abi::{SpanKind, lane};
use anyhow::Context as _;
use aya::Ebpf;
use aya::maps::PerCpuArray;
use hdrhistogram::Histogram;
use runlog::interval_log::new_histogram;

use crate::lanes;

/// Durations of spans.
#[derive(Clone, Debug)]
pub struct Durations {
    /// Their histogram.
    pub histogram: Histogram<u64>,
    /// Their exact sum, in nanoseconds.
    pub sum_ns: u64,
}

/// The durations of an arm's spans of one kind.
pub fn durations(ebpf: &Ebpf, arm: u32, kind: SpanKind) -> anyhow::Result<Durations> {
    let total = match kind {
        // In the kernel, the others do not have the hooked ones.
        SpanKind::ReadSyscall => {
            over_all(ebpf, arm, kind)?.and(&over_all(ebpf, arm, SpanKind::HookedReadSyscall)?)
        }
        _ => over_all(ebpf, arm, kind)?,
    };
    Ok(total.durations())
}

/// An arm's spans of one kind, as the kernel has them.
#[derive(Clone, Debug)]
pub struct Total {
    /// How many are in each bucket.
    pub buckets: Vec<u64>,
    /// Their sum, in nanoseconds, modulo 2^64.
    pub sum_ns: u64,
}

impl Default for Total {
    fn default() -> Self {
        Self {
            buckets: vec![0; BUCKETS],
            sum_ns: 0,
        }
    }
}

impl Total {
    /// Adds spans of one CPU or lane.
    pub fn add(&mut self, buckets: &[u64; BUCKETS], sum_ns: u64) {
        for (total, count) in self.buckets.iter_mut().zip(buckets) {
            *total += count;
        }
        self.sum_ns = self.sum_ns.wrapping_add(sum_ns);
    }

    /// Adds one span, of the bucket that has it.
    pub fn add_one(&mut self, bucket: usize, span_ns: u64) {
        if let Some(count) = self.buckets.get_mut(bucket) {
            *count += 1;
        }
        self.sum_ns = self.sum_ns.wrapping_add(span_ns);
    }

    /// Takes off what there was before.
    pub fn take_off(&mut self, before: &Self) {
        for (total, count) in self.buckets.iter_mut().zip(&before.buckets) {
            *total = total.saturating_sub(*count);
        }
        self.sum_ns = self.sum_ns.wrapping_sub(before.sum_ns);
    }

    /// How many there are.
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    /// The same as a histogram of ours.
    pub fn durations(&self) -> Durations {
        let mut histogram = new_histogram();
        for (bucket, count) in self
            .buckets
            .iter()
            .enumerate()
            .filter(|(_, count)| **count > 0)
        {
            // Both layouts have the same buckets, so nothing moves.
            histogram.saturating_record_n(layout::lowest_of(bucket), *count);
        }
        let sum_ns = self.sum_ns;
        Durations { histogram, sum_ns }
    }

    /// These and others.
    pub fn and(mut self, other: &Self) -> Self {
        for (total, count) in self.buckets.iter_mut().zip(&other.buckets) {
            *total += count;
        }
        self.sum_ns = self.sum_ns.wrapping_add(other.sum_ns);
        self
    }
}

/// Adds an arm's spans of one kind that CPUs have. Those of its lanes are not among them.
pub fn add_of_cpus(ebpf: &Ebpf, arm: u32, kind: SpanKind, total: &mut Total) -> anyhow::Result<()> {
    let map = ebpf.map("HISTOGRAMS").context("no map HISTOGRAMS")?;
    let map: PerCpuArray<_, Spans> = map.try_into()?;
    for of_cpu in map.get(&kind.index(arm), 0)?.iter() {
        total.add(&of_cpu.buckets, of_cpu.sum_ns);
    }
    Ok(())
}

/// Adds an arm's spans of one kind up, over CPUs and lanes.
pub fn over_all(ebpf: &Ebpf, arm: u32, kind: SpanKind) -> anyhow::Result<Total> {
    let mut total = Total::default();
    add_of_cpus(ebpf, arm, kind, &mut total)?;
    if (kind as usize) < lane::KINDS {
        let kind = kind as usize;
        lanes::each_of_arm(ebpf, arm, |lane| {
            total.add(&lane.buckets[kind], lane.sums_ns[kind]);
        })?;
    }
    Ok(total)
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
        for bucket in 0..BUCKETS {
            histogram.saturating_record(layout::lowest_of(bucket));
        }
        assert!(
            histogram
                .iter_recorded()
                .all(|step| step.count_at_value() == 1)
        );
        assert_eq!(histogram.len(), BUCKETS as u64);
    }
}

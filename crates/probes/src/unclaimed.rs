//! Reads that had returned when the probes were detached, and that no site had claimed: they are added to what the
//! kernel has counted, as the programs would have done at their threads' next reads.

use abi::layout::{Spans, bucket_of};
use abi::{Counter, Counters, ReadSyscall, SpanKind};
use anyhow::Context as _;
use aya::maps::{PerCpuArray, PerCpuValues};
use aya::{Ebpf, Pod};

/// Adds them to histograms and counters. To be called when no program runs.
pub fn add_to_totals(
    ebpf: &mut Ebpf,
    reads: &[ReadSyscall],
    have_records: bool,
) -> anyhow::Result<()> {
    for read in reads {
        let of_reads = SpanKind::ReadSyscall.index(read.arm);
        on_first_cpu(ebpf, "HISTOGRAMS", of_reads, |spans: &mut Spans| {
            let duration_ns = read.exit_ns.saturating_sub(read.enter_ns);
            spans.buckets[bucket_of(duration_ns)] += 1;
            spans.sum_ns = spans.sum_ns.wrapping_add(duration_ns);
        })?;
        on_first_cpu(ebpf, "COUNTERS", read.arm, |counters: &mut Counters| {
            *counters.cell(Counter::ReadRecorded) += 1;
            *counters.cell(Counter::RecordsWritten) += u64::from(have_records);
        })?;
    }
    Ok(())
}

/// Changes a per-CPU value of the first CPU.
fn on_first_cpu<T: Pod>(
    ebpf: &mut Ebpf,
    map: &str,
    index: u32,
    change: impl FnOnce(&mut T),
) -> anyhow::Result<()> {
    let data = ebpf.map_mut(map).with_context(|| format!("no map {map}"))?;
    let mut data: PerCpuArray<_, T> = data.try_into()?;
    let mut of_cpus = data.get(&index, 0)?.to_vec();
    change(of_cpus.first_mut().context("no CPU")?);
    Ok(data.set(index, PerCpuValues::try_from(of_cpus)?, 0)?)
}

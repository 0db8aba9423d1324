//! What the kernel has counted of one arm, read in one go while the probes run.
//!
//! Reading takes a while, and calls go on meanwhile. Counters are read before histograms, and in a set of counters
//! hits stand before what becomes of them. So a call that comes in between has, at the worst, one hit too few or too
//! many of each thread, and more spans in the histograms than the counters know of, never less.

use std::collections::BTreeMap;

use abi::lane::{KINDS, lane_of};
use abi::layout::Spans;
use abi::{Counter, Counters, Lane, SpanKind};
use anyhow::Context as _;
use aya::Ebpf;
use aya::maps::{Array, PerCpuArray, PerCpuValues};
use runlog::analysis::{Ledger, LedgerRow};
use runlog::trace::SpanSummary;

use crate::lanes;
use crate::ledger::{Counted, InHistograms, Received, add_counters_of_cpus, ledger};
use crate::memory::HistogramMemory;
use crate::spans::{Durations, Total, add_of_cpus};
use crate::tables::AtWork;

/// What has been counted of one arm.
#[derive(Clone, Debug)]
pub struct ArmTotals {
    /// Spans, by kind; those of `read(2)` with and without a hook together under [`SpanKind::ReadSyscall`].
    spans: Vec<Total>,
    /// The ledger's counters.
    counters: Counters,
    /// What its threads were doing shortly before.
    at_work: AtWork,
}

impl Default for ArmTotals {
    /// Nothing has been counted.
    fn default() -> Self {
        Self {
            spans: vec![Total::default(); SpanKind::COUNT as usize],
            counters: Counters::default(),
            at_work: AtWork::default(),
        }
    }
}

impl ArmTotals {
    /// Reads them.
    pub fn read(ebpf: &Ebpf, arm: u32, at_work: AtWork) -> anyhow::Result<Self> {
        let mut totals = Self {
            at_work,
            ..Self::default()
        };
        add_counters_of_cpus(ebpf, arm, &mut totals.counters)?;
        lanes::each_of_arm(ebpf, arm, |lane| {
            totals.counters.add(&lane.counters);
            for kind in 0..KINDS {
                totals.spans[kind].add(&lane.buckets[kind], lane.sums_ns[kind]);
            }
        })?;
        for kind in SpanKind::ALL {
            add_of_cpus(ebpf, arm, kind, &mut totals.spans[kind as usize])?;
        }
        let hooked = totals.spans[SpanKind::HookedReadSyscall as usize].clone();
        let reads = &mut totals.spans[SpanKind::ReadSyscall as usize];
        *reads = std::mem::take(reads).and(&hooked);
        Ok(totals)
    }

    /// What has come since `earlier`. A span that was open then, and has ended, is a hit of this time: it is counted
    /// here.
    pub fn since(mut self, earlier: &Self) -> Self {
        for (spans, before) in self.spans.iter_mut().zip(&earlier.spans) {
            spans.take_off(before);
        }
        self.counters.take_off(&earlier.counters);
        let open = earlier.at_work.in_flight;
        *self.counters.cell(Counter::ReadHits) += open.reads;
        *self.counters.cell(Counter::WriteHits) += open.writes;
        // Either reading may have found as many between a hit and its outcome.
        self.at_work.threads += earlier.at_work.threads;
        self
    }

    /// These and those of another series.
    pub fn add(&mut self, other: &Self) {
        for (spans, others) in self.spans.iter_mut().zip(&other.spans) {
            *spans = std::mem::take(spans).and(others);
        }
        self.counters.add(&other.counters);
        self.at_work.threads += other.at_work.threads;
        self.at_work.in_flight.add(other.at_work.in_flight);
    }

    /// How many spans of a kind are in each bucket, and their sum.
    pub fn spans(&self, kind: SpanKind) -> &Total {
        &self.spans[kind as usize]
    }

    /// Durations of a kind.
    pub fn durations(&self, kind: SpanKind) -> Durations {
        self.spans(kind).durations()
    }

    /// All kinds that occurred, summed up.
    pub fn summaries(&self) -> BTreeMap<String, SpanSummary> {
        let kinds = SpanKind::ALL.into_iter();
        let seen = kinds.filter(|kind| self.spans(*kind).count() > 0);
        seen.map(|kind| {
            let durations = self.durations(kind);
            let summary = SpanSummary::of(&durations.histogram, durations.sum_ns);
            (kind.name().to_owned(), summary)
        })
        .collect()
    }

    /// The ledger up to now. While threads are at work, it balances if no more is open than there are threads. Records
    /// of runs count as received: some may be on their way, and the ledger of their run tells whether they arrived.
    pub fn ledger(&self) -> Ledger {
        self.ledger_with(Received {
            records: self.counters.get(Counter::RecordsWritten),
            unknown: 0,
        })
    }

    /// The ledger, with the records that have arrived here.
    pub fn ledger_with(&self, received: Received) -> Ledger {
        let count = |kind| self.spans(kind).count();
        let in_histograms = InHistograms {
            reads: count(SpanKind::ReadSyscall),
            hooked_reads: count(SpanKind::HookOverhead),
            writes: count(SpanKind::WriteSyscall),
            calls: count(SpanKind::Function),
        };
        let counted = Counted {
            counters: self.counters,
            hits_of_others: 0,
            in_histograms,
        };
        let mut ledger = ledger(&counted, self.at_work.in_flight, received);
        let all_arrived = ledger.records_written == received.records && received.unknown == 0;
        if !ledger.balanced
            && all_arrived
            && ledger.saw_everything()
            && self.is_explained(in_histograms, &ledger)
        {
            ledger.balanced = true;
            ledger.causes.remove("span_missing_in_histogram");
        }
        ledger
    }

    fn is_explained(&self, in_histograms: InHistograms, ledger: &Ledger) -> bool {
        let slack = self.at_work.threads;
        slack > 0
            && in_histograms.has_all_but(slack, &self.counters)
            && ledger
                .probes
                .values()
                .all(|row| open(row).unsigned_abs() <= slack)
    }
}

/// Hits that have no outcome and are not in flight either.
fn open(row: &LedgerRow) -> i64 {
    let outcomes = row.recorded + row.dropped + row.unpaired + row.in_flight;
    row.hits.cast_signed().wrapping_sub(outcomes.cast_signed())
}

/// Empties what has been counted of an arm, so that another can have its place. No process of it may be traced.
pub fn clear(ebpf: &mut Ebpf, arm: u32) -> anyhow::Result<()> {
    set_all_cpus(ebpf, "COUNTERS", arm, Counters::default())?;
    for kind in SpanKind::ALL {
        set_all_cpus(ebpf, "HISTOGRAMS", kind.index(arm), Spans::EMPTY)?;
    }
    let lanes = ebpf.map_mut("LANES").context("no map LANES")?;
    let mut lanes: Array<_, Lane> = lanes.try_into()?;
    let of_arm = HistogramMemory::here(1).lanes_per_arm();
    for number in 0..of_arm {
        lanes.set(lane_of(arm, number, of_arm), Lane::EMPTY, 0)?;
    }
    Ok(())
}

fn set_all_cpus<T: aya::Pod>(
    ebpf: &mut Ebpf,
    name: &str,
    index: u32,
    value: T,
) -> anyhow::Result<()> {
    let map = ebpf
        .map_mut(name)
        .with_context(|| format!("no map {name}"))?;
    let mut map: PerCpuArray<_, T> = map.try_into()?;
    let cpus = aya::util::nr_cpus().map_err(|(_, error)| error)?;
    Ok(map.set(index, PerCpuValues::try_from(vec![value; cpus])?, 0)?)
}

#[cfg(test)]
mod tests;

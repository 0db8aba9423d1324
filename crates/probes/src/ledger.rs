//! The ledger: the kernel's counters, what was in flight at each detach, and what arrived here.

use std::collections::BTreeMap;

use abi::{Counter, Counters, SpanKind};
use anyhow::Context as _;
use aya::Ebpf;
use aya::maps::PerCpuArray;
use runlog::analysis::{Ledger, LedgerRow};

use crate::{lanes, spans};

/// Spans that were open when the probes were detached, over all detaches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct InFlight {
    /// Inside `read(2)`.
    pub reads: u64,
    /// Inside a write on a tracked connection.
    pub writes: u64,
    /// Inside the function named by `--symbol` or `--offset`.
    pub calls: u64,
}

impl InFlight {
    /// Adds what another detach found.
    pub fn add(&mut self, other: Self) {
        self.reads += other.reads;
        self.writes += other.writes;
        self.calls += other.calls;
    }
}

/// What the agent counted itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Received {
    /// Records taken out of the ring buffer.
    pub records: u64,
    /// Records of a kind or size that this version does not know.
    pub unknown: u64,
}

/// What the kernel counted, over all arms and CPUs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// The counters.
    pub counters: Counters,
    /// Hits of the sites and of the function by processes that are not traced.
    pub hits_of_others: u64,
    /// Spans in the histograms of reads, of hooked reads, of writes and of the function.
    pub in_histograms: InHistograms,
}

/// Spans in the histograms, by what put them there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct InHistograms {
    /// Of `read(2)`.
    pub reads: u64,
    /// Of hook overhead.
    pub hooked_reads: u64,
    /// Of the write family.
    pub writes: u64,
    /// Of the function named by `--symbol` or `--offset`.
    pub calls: u64,
}

impl InHistograms {
    /// Spans that must be there, as the counters say.
    fn expected(counters: &Counters) -> Self {
        use Counter as C;
        let sum = |recorded, ring_full| counters.get(recorded) + counters.get(ring_full);
        Self {
            reads: sum(C::ReadRecorded, C::ReadRingFull),
            hooked_reads: sum(C::SiteRecorded, C::SiteRingFull),
            writes: sum(C::WriteRecorded, C::WriteRingFull),
            calls: sum(C::FunctionRecorded, C::FunctionRingFull),
        }
    }

    fn counts(self) -> [u64; 4] {
        [self.reads, self.hooked_reads, self.writes, self.calls]
    }

    /// Spans that the counters say were recorded, and that no histogram holds, or the reverse.
    fn missing(self, counters: &Counters) -> u64 {
        let pairs = self
            .counts()
            .into_iter()
            .zip(Self::expected(counters).counts());
        pairs.map(|(held, expected)| held.abs_diff(expected)).sum()
    }

    /// Whether of each kind all spans are there that the counters say were recorded, but for `slack`. There may be
    /// more.
    pub fn has_all_but(self, slack: u64, counters: &Counters) -> bool {
        let mut pairs = self
            .counts()
            .into_iter()
            .zip(Self::expected(counters).counts());
        pairs.all(|(held, expected)| held + slack >= expected)
    }
}

/// What becomes of the calls of a function that are not timed.
const FUNCTION_UNPAIRED: [Counter; 4] = [
    Counter::FunctionReturnAlone,
    Counter::FunctionLeft,
    Counter::FunctionThreadEnded,
    Counter::FunctionTooDeep,
];

/// Reads what the kernel has counted.
pub fn counted(ebpf: &Ebpf, arms: u32) -> anyhow::Result<Counted> {
    let in_histograms = |kind| -> anyhow::Result<u64> {
        (0..arms)
            .map(|arm| Ok(spans::durations(ebpf, arm, kind)?.histogram.len()))
            .sum()
    };
    Ok(Counted {
        counters: counters(ebpf, arms)?,
        hits_of_others: hits_of_others(ebpf)?,
        in_histograms: InHistograms {
            reads: in_histograms(SpanKind::ReadSyscall)?,
            hooked_reads: in_histograms(SpanKind::HookOverhead)?,
            writes: in_histograms(SpanKind::WriteSyscall)?,
            calls: in_histograms(SpanKind::Function)?,
        },
    })
}

/// Hits of the sites and of the function by processes that are not traced.
pub fn hits_of_others(ebpf: &Ebpf) -> anyhow::Result<u64> {
    let map = ebpf.map("HITS_OF_OTHERS");
    let map: PerCpuArray<_, u64> = map.context("no map HITS_OF_OTHERS")?.try_into()?;
    Ok(map.get(&0, 0)?.iter().sum())
}

/// Adds an arm's counters of all CPUs. Those of its lanes are not among them.
pub fn add_counters_of_cpus(ebpf: &Ebpf, arm: u32, sum: &mut Counters) -> anyhow::Result<()> {
    let map = ebpf.map("COUNTERS").context("no map COUNTERS")?;
    let map: PerCpuArray<_, Counters> = map.try_into()?;
    for of_cpu in map.get(&arm, 0)?.iter() {
        sum.add(of_cpu);
    }
    Ok(())
}

/// Reads the counters of all arms, CPUs and lanes.
fn counters(ebpf: &Ebpf, arms: u32) -> anyhow::Result<Counters> {
    let mut sum = Counters::default();
    for arm in 0..arms {
        add_counters_of_cpus(ebpf, arm, &mut sum)?;
        lanes::each_of_arm(ebpf, arm, |lane| sum.add(&lane.counters))?;
    }
    Ok(sum)
}

/// Of what is unpaired of a probe, the hits that neither an attach nor a detach explains, by the counter of its hits.
///
/// A thread makes one system call at a time, and comes out of each that it entered before it does anything else or
/// ends. So a half of a call is one whose other half the kernel did not show, but for two: the exit from a call that was
/// entered before the thread was observed, and the entry to one that goes on when the probes are detached. Neither is
/// counted here. What a thread does after the first is followed, and what is open then is in flight. A call of the hook
/// that began when its thread was followed is held against the kernel's reads of that thread in the same way.
///
/// A function may end without a return, and a return may be one of many calls that were entered before the attach, so
/// its halves say nothing.
fn unexplained(hits: Counter) -> &'static [Counter] {
    use Counter as C;
    match hits {
        C::ReadHits => &[
            C::ReadEntryUnseen,
            C::ReadEntryAlone,
            C::ReadThreadEnded,
            C::ReadTableFull,
        ],
        C::SiteHits => &[C::SiteWithoutSyscall],
        C::WriteHits => &[C::WriteEntryAlone, C::WriteThreadEnded],
        C::FunctionHits => &[C::FunctionTableFull],
        _ => &[],
    }
}

/// The probe of which a program's hits may have been lost without a trace when the kernel passes over it. `None` where
/// it is known by other means whether such hits were ours.
///
/// The kernel does not say whose hits it passed over, and all processes run into programs on system calls. But if the
/// entry or the exit of a call of ours had been passed over, the other half would be there alone, and count as
/// [`unexplained`]. That both halves of one call are missed, and never one alone, takes more than chance. There is one exception:
/// exits from writes that were not entered on a tracked connection are not counted, so a missed entry to a write leaves nothing. Kernels
/// that preempt tracing programs pass entries over in every other trace, mostly those of others: a warning says so, and no more.
fn may_be_lost(program: &str) -> Option<&'static str> {
    match program {
        "read_done" => Some("site_read_done"),
        "accepted" => Some("site_accepted"),
        "closed" => Some("site_closed"),
        "function_entry" | "function_return" => Some("function"),
        _ => None,
    }
}

/// Enters the hits that the kernel passed over, by the program that did not run.
pub fn enter_missed(ledger: &mut Ledger, missed: &BTreeMap<String, u64>) {
    for (program, hits) in missed.iter().filter(|(_, hits)| **hits > 0) {
        if let Some(probe) = may_be_lost(program) {
            ledger.add_missed(probe, *hits);
        } else {
            let cause = format!("{program}_missed");
            *ledger.causes.entry(cause).or_default() += hits;
        }
    }
}

/// Draws the ledger up.
pub fn ledger(counted: &Counted, in_flight: InFlight, received: Received) -> Ledger {
    let counters = &counted.counters;
    let missing_in_histograms = counted.in_histograms.missing(counters);
    let probes = rows(counters, in_flight);
    let records_written = counters.get(Counter::RecordsWritten);
    let total = |part: fn(&LedgerRow) -> u64| probes.values().map(part).sum();
    Ledger {
        hits: total(|row| row.hits),
        recorded: total(|row| row.recorded),
        dropped: total(|row| row.dropped),
        unpaired: total(|row| row.unpaired),
        unexplained: total(|row| row.unexplained),
        in_flight: total(|row| row.in_flight),
        missed: 0,
        balanced: probes.values().all(LedgerRow::is_balanced)
            && records_written == received.records
            && received.unknown == 0
            && missing_in_histograms == 0,
        records_written,
        records_received: received.records,
        hits_of_other_processes: counted.hits_of_others,
        programs: BTreeMap::new(),
        causes: causes(counters, received, missing_in_histograms),
        probes,
    }
}

/// The shares of the probes that were hit.
fn rows(counters: &Counters, in_flight: InFlight) -> BTreeMap<String, LedgerRow> {
    use Counter as C;
    let sum = |of: &[Counter]| of.iter().map(|counter| counters.get(*counter)).sum::<u64>();
    let row = |hits, recorded, dropped: &[Counter], unpaired: &[Counter], in_flight| {
        let unpaired_hits = sum(unpaired);
        LedgerRow {
            hits: counters.get(hits),
            recorded: counters.get(recorded),
            dropped: sum(dropped),
            unpaired: unpaired_hits,
            // Calls that are not followed are unexplained when their exit makes hits of them.
            unexplained: sum(unexplained(hits)).min(unpaired_hits),
            in_flight,
            missed: 0,
        }
    };
    [
        (
            "read_syscall",
            row(
                C::ReadHits,
                C::ReadRecorded,
                &[C::ReadRingFull],
                &[C::ReadExitAlone, C::ReadEntryAlone, C::ReadThreadEnded],
                in_flight.reads,
            ),
        ),
        (
            "site_read_done",
            row(
                C::SiteHits,
                C::SiteRecorded,
                &[C::SiteRingFull],
                &[C::SiteUnpaired],
                0,
            ),
        ),
        (
            "write_syscall",
            row(
                C::WriteHits,
                C::WriteRecorded,
                &[C::WriteRingFull, C::WriteTableFull],
                &[C::WriteEntryAlone, C::WriteThreadEnded],
                in_flight.writes,
            ),
        ),
        (
            "site_accepted",
            row(
                C::AcceptedHits,
                C::AcceptedRecorded,
                &[C::AcceptedRingFull, C::AcceptedTableFull],
                &[],
                0,
            ),
        ),
        (
            "site_closed",
            row(
                C::ClosedHits,
                C::ClosedRecorded,
                &[C::ClosedRingFull],
                &[],
                0,
            ),
        ),
        (
            "function",
            row(
                C::FunctionHits,
                C::FunctionRecorded,
                &[C::FunctionRingFull],
                &FUNCTION_UNPAIRED,
                in_flight.calls,
            ),
        ),
    ]
    .into_iter()
    .filter(|(_, row)| *row != LedgerRow::default())
    .map(|(name, row)| (name.to_owned(), row))
    .collect()
}

fn causes(
    counters: &Counters,
    received: Received,
    missing_in_histograms: u64,
) -> BTreeMap<String, u64> {
    use Counter as C;
    // The exit of a call that found the table full is one without entry, like that of a call from
    // before the attach.
    let before_attach =
        |alone, table_full| counters.get(alone).saturating_sub(counters.get(table_full));
    let causes = [
        (
            "read_entered_before_attach",
            before_attach(C::ReadExitAlone, C::ReadTableFull)
                .saturating_sub(counters.get(C::ReadEntryUnseen)),
        ),
        ("read_entry_unseen", counters.get(C::ReadEntryUnseen)),
        ("read_entered_twice", counters.get(C::ReadEntryAlone)),
        ("read_thread_ended", counters.get(C::ReadThreadEnded)),
        ("read_thread_table_full", counters.get(C::ReadTableFull)),
        ("read_ring_full", counters.get(C::ReadRingFull)),
        ("site_ring_full", counters.get(C::SiteRingFull)),
        (
            "site_entered_before_attach",
            counters.get(C::SiteUnpaired).saturating_sub(
                counters.get(C::SiteWithoutSyscall) + counters.get(C::SiteInterrupted),
            ),
        ),
        ("site_without_syscall", counters.get(C::SiteWithoutSyscall)),
        ("site_interrupted", counters.get(C::SiteInterrupted)),
        (
            "site_connection_older_than_attach",
            counters
                .get(C::SiteConnectionUnknown)
                .saturating_sub(counters.get(C::SiteTableFull)),
        ),
        ("site_connection_table_full", counters.get(C::SiteTableFull)),
        ("write_ring_full", counters.get(C::WriteRingFull)),
        ("write_thread_ended", counters.get(C::WriteThreadEnded)),
        ("write_entered_twice", counters.get(C::WriteEntryAlone)),
        ("write_thread_table_full", counters.get(C::WriteTableFull)),
        ("accepted_ring_full", counters.get(C::AcceptedRingFull)),
        (
            "accepted_connection_table_full",
            counters.get(C::AcceptedTableFull),
        ),
        ("closed_ring_full", counters.get(C::ClosedRingFull)),
        ("function_ring_full", counters.get(C::FunctionRingFull)),
        (
            "function_entered_before_attach",
            before_attach(C::FunctionReturnAlone, C::FunctionTableFull),
        ),
        (
            "function_left_without_return",
            counters.get(C::FunctionLeft),
        ),
        (
            "function_thread_ended",
            counters.get(C::FunctionThreadEnded),
        ),
        ("function_deeper_than_64", counters.get(C::FunctionTooDeep)),
        (
            "function_thread_table_full",
            counters.get(C::FunctionTableFull),
        ),
        ("record_of_unknown_kind", received.unknown),
        ("span_missing_in_histogram", missing_in_histograms),
    ];
    causes
        .into_iter()
        .filter(|(_, count)| *count > 0)
        .map(|(name, count)| (name.to_owned(), count))
        .collect()
}

#[cfg(test)]
mod tests;

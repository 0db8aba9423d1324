//! The ledger: the kernel's counters, what was in flight at each detach, and what arrived here.

use std::collections::BTreeMap;

use anyhow::Context as _;
use aya::Ebpf;
use aya::maps::PerCpuArray;
use probe_common::{Counter, Counters};
use runlog::analysis::{Ledger, LedgerRow};

/// Spans that were open when the probes were detached, over all detaches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct InFlight {
    /// Inside `read(2)`.
    pub reads: u64,
    /// Inside a write on a tracked connection.
    pub writes: u64,
    /// Inside the function named by `--symbol`.
    pub calls: u64,
}

/// What the agent counted itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Received {
    /// Records taken out of the ring buffer.
    pub records: u64,
    /// Records of a kind or size that this version does not know.
    pub unknown: u64,
}

/// Reads the counters of all arms and CPUs.
pub fn counters(ebpf: &Ebpf, arms: u32) -> anyhow::Result<Counters> {
    let map = ebpf.map("COUNTERS").context("no map COUNTERS")?;
    let map: PerCpuArray<_, Counters> = map.try_into()?;
    let mut sum = Counters::default();
    for arm in 0..arms {
        for counters in map.get(&arm, 0)?.iter() {
            sum.add(counters);
        }
    }
    Ok(sum)
}

/// Draws the ledger up.
pub fn ledger(counters: &Counters, in_flight: InFlight, received: Received) -> Ledger {
    use Counter as C;
    let sum = |of: &[Counter]| of.iter().map(|counter| counters.get(*counter)).sum();
    let row = |hits, recorded, dropped: &[Counter], unpaired: &[Counter], in_flight| LedgerRow {
        hits: counters.get(hits),
        recorded: counters.get(recorded),
        dropped: sum(dropped),
        unpaired: sum(unpaired),
        in_flight,
    };
    let probes: BTreeMap<String, LedgerRow> = [
        (
            "read_syscall",
            row(
                C::ReadHits,
                C::ReadRecorded,
                &[C::ReadTableFull],
                &[C::ReadExitAlone, C::ReadEntryAlone],
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
                &[C::WriteEntryAlone],
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
                &[C::FunctionTableFull],
                &[C::FunctionReturnAlone, C::FunctionEntryAlone],
                in_flight.calls,
            ),
        ),
    ]
    .into_iter()
    .filter(|(_, row)| *row != LedgerRow::default())
    .map(|(name, row)| (name.to_owned(), row))
    .collect();

    let records_written = counters.get(C::RecordsWritten);
    let total = |part: fn(&LedgerRow) -> u64| probes.values().map(part).sum();
    Ledger {
        hits: total(|row| row.hits),
        recorded: total(|row| row.recorded),
        dropped: total(|row| row.dropped),
        unpaired: total(|row| row.unpaired),
        in_flight: total(|row| row.in_flight),
        balanced: probes.values().all(LedgerRow::is_balanced)
            && records_written == received.records
            && received.unknown == 0,
        records_written,
        records_received: received.records,
        causes: causes(counters, received),
        probes,
    }
}

fn causes(counters: &Counters, received: Received) -> BTreeMap<String, u64> {
    use Counter as C;
    let causes = [
        ("read_entered_before_attach", counters.get(C::ReadExitAlone)),
        ("read_entered_twice", counters.get(C::ReadEntryAlone)),
        ("read_thread_table_full", counters.get(C::ReadTableFull)),
        ("site_ring_full", counters.get(C::SiteRingFull)),
        ("site_without_syscall", counters.get(C::SiteUnpaired)),
        (
            "site_connection_older_than_attach",
            counters.get(C::SiteConnectionUnknown),
        ),
        ("write_ring_full", counters.get(C::WriteRingFull)),
        ("write_entered_twice", counters.get(C::WriteEntryAlone)),
        ("write_thread_table_full", counters.get(C::WriteTableFull)),
        ("accepted_ring_full", counters.get(C::AcceptedRingFull)),
        (
            "accepted_connection_table_full",
            counters.get(C::AcceptedTableFull),
        ),
        ("closed_ring_full", counters.get(C::ClosedRingFull)),
        (
            "function_entered_before_attach",
            counters.get(C::FunctionReturnAlone),
        ),
        (
            "function_left_without_return",
            counters.get(C::FunctionEntryAlone),
        ),
        (
            "function_call_table_full",
            counters.get(C::FunctionTableFull),
        ),
        ("record_of_unknown_kind", received.unknown),
    ];
    causes
        .into_iter()
        .filter(|(_, count)| *count > 0)
        .map(|(name, count)| (name.to_owned(), count))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counters_with(raised: &[(Counter, u64)]) -> Counters {
        let mut counters = Counters::default();
        for (counter, times) in raised {
            for _ in 0..*times {
                counters.raise(*counter);
            }
        }
        counters
    }

    #[test]
    fn every_hit_has_its_place() {
        let counters = counters_with(&[
            (Counter::ReadHits, 10),
            (Counter::ReadRecorded, 7),
            (Counter::ReadExitAlone, 1),
            (Counter::SiteHits, 7),
            (Counter::SiteRecorded, 4),
            (Counter::SiteRingFull, 3),
            (Counter::RecordsWritten, 4),
        ]);
        let in_flight = InFlight {
            reads: 2,
            ..InFlight::default()
        };
        let received = Received {
            records: 4,
            unknown: 0,
        };
        let ledger = ledger(&counters, in_flight, received);
        assert!(ledger.balanced, "{ledger:?}");
        assert_eq!((ledger.hits, ledger.recorded, ledger.dropped), (17, 11, 3));
        assert_eq!((ledger.unpaired, ledger.in_flight), (1, 2));
        assert_eq!(ledger.causes["site_ring_full"], 3);
        assert_eq!(
            ledger.probes.len(),
            2,
            "probes that never fired are left out"
        );
    }

    #[test]
    fn a_lost_hit_or_record_is_not_balanced() {
        let hit = counters_with(&[(Counter::ReadHits, 1)]);
        assert!(!ledger(&hit, InFlight::default(), Received::default()).balanced);
        let written = counters_with(&[(Counter::RecordsWritten, 1)]);
        assert!(!ledger(&written, InFlight::default(), Received::default()).balanced);
        let nothing = Counters::default();
        let unknown = Received {
            records: 0,
            unknown: 1,
        };
        assert!(!ledger(&nothing, InFlight::default(), unknown).balanced);
        assert!(ledger(&nothing, InFlight::default(), Received::default()).balanced);
    }
}

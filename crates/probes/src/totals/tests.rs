use super::*;
use crate::ledger::InFlight;

fn totals(counters: &[(Counter, u64)], spans: &[(SpanKind, u64)], threads: u64) -> ArmTotals {
    let mut totals = ArmTotals {
        spans: vec![Total::default(); SpanKind::COUNT as usize],
        counters: Counters::default(),
        at_work: AtWork {
            threads,
            ..AtWork::default()
        },
    };
    for (counter, value) in counters {
        *totals.counters.cell(*counter) = *value;
    }
    for (kind, count) in spans {
        totals.spans[*kind as usize].buckets[7] = *count;
    }
    totals
}

#[test]
fn what_threads_at_work_explain_balances_and_no_more() {
    let balances = |hits, recorded, in_histogram, threads| {
        let counters = [(Counter::ReadHits, hits), (Counter::ReadRecorded, recorded)];
        let spans = [(SpanKind::ReadSyscall, in_histogram)];
        totals(&counters, &spans, threads).ledger().balanced
    };
    assert!(balances(10, 10, 10, 0));
    assert!(!balances(11, 10, 10, 0), "nobody is at work");
    assert!(balances(11, 10, 10, 1));
    assert!(!balances(12, 10, 10, 1), "one thread has one span open");
    assert!(balances(10, 10, 15, 1), "histograms are read later");
    assert!(!balances(10, 10, 8, 1), "a span is missing");
    let half = [(Counter::ReadHits, 1), (Counter::ReadEntryAlone, 1)];
    let ledger = totals(&half, &[], 9).ledger();
    assert!(!ledger.balanced, "no thread at work explains half a call");
}

#[test]
fn what_was_open_at_the_start_is_a_hit_of_the_time_since() {
    let reads = |hits, recorded, open| {
        let counters = [(Counter::ReadHits, hits), (Counter::ReadRecorded, recorded)];
        let mut totals = totals(&counters, &[(SpanKind::ReadSyscall, recorded)], 0);
        totals.at_work.in_flight = InFlight {
            reads: open,
            ..InFlight::default()
        };
        totals
    };
    // One read waits all the time: first one, later another.
    let ledger = reads(25, 24, 1).since(&reads(11, 10, 1)).ledger();
    let row = &ledger.probes["read_syscall"];
    assert_eq!((row.hits, row.recorded, row.in_flight), (15, 14, 1));
    assert!(ledger.balanced);
    assert!(!reads(26, 24, 1).since(&reads(11, 10, 1)).ledger().balanced);
}

#[test]
fn records_that_did_not_arrive_are_missed() {
    let written = [(Counter::RecordsWritten, 3)];
    let balanced = |records| {
        let received = Received {
            records,
            unknown: 0,
        };
        totals(&written, &[], 9).ledger_with(received).balanced
    };
    assert!(balanced(3) && !balanced(2));
}

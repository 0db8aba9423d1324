use super::*;
use crate::pair;

fn counted(raised: &[(Counter, u64)]) -> Counted {
    let mut counters = Counters::default();
    for (counter, times) in raised {
        *counters.cell(*counter) += times;
    }
    Counted {
        counters,
        ..Counted::default()
    }
}

#[test]
fn every_hit_has_its_place() {
    let mut counted = counted(&[
        (Counter::ReadHits, 10),
        (Counter::ReadRecorded, 7),
        (Counter::ReadExitAlone, 1),
        (Counter::SiteHits, 7),
        (Counter::SiteRecorded, 4),
        (Counter::SiteRingFull, 3),
        (Counter::RecordsWritten, 4),
    ]);
    counted.in_histograms.reads = 7;
    counted.in_histograms.hooked_reads = 7;
    let in_flight = InFlight {
        reads: 2,
        ..InFlight::default()
    };
    let received = Received {
        records: 4,
        unknown: 0,
    };
    let balanced = ledger(&counted, in_flight, received);
    assert!(balanced.balanced, "{balanced:?}");
    assert_eq!((balanced.hits, balanced.recorded), (17, 11));
    assert_eq!(
        (balanced.dropped, balanced.unpaired, balanced.in_flight),
        (3, 1, 2)
    );
    assert_eq!(balanced.causes["site_ring_full"], 3);
    assert_eq!(
        balanced.probes.len(),
        2,
        "probes that never fired are left out"
    );
    counted.in_histograms.hooked_reads = 6;
    let lost_update = ledger(&counted, in_flight, received);
    assert!(!lost_update.balanced);
    assert_eq!(lost_update.causes["span_missing_in_histogram"], 1);
}

#[test]
fn a_call_that_found_the_table_full_is_not_taken_for_one_from_before_the_attach() {
    let counted = counted(&[
        (Counter::ReadHits, 5),
        (Counter::ReadExitAlone, 5),
        (Counter::ReadTableFull, 3),
    ]);
    let ledger = ledger(&counted, InFlight::default(), Received::default());
    assert_eq!((ledger.hits, ledger.unpaired), (5, 5));
    assert_eq!(ledger.causes["read_thread_table_full"], 3);
    assert_eq!(ledger.causes["read_entered_before_attach"], 2);
    assert!(ledger.unexplained == 3 && !ledger.balanced);
}

#[test]
fn what_attach_and_detach_cut_in_two_balances() {
    let counted = counted(&[
        (Counter::ReadHits, 9),
        (Counter::ReadExitAlone, 5),
        (Counter::SiteHits, 6),
        (Counter::SiteUnpaired, 6),
        (Counter::SiteInterrupted, 2),
        (Counter::WriteHits, 3),
    ]);
    let in_flight = InFlight {
        reads: 4,
        writes: 3,
        calls: 0,
    };
    let ledger = ledger(&counted, in_flight, Received::default());
    assert!(ledger.balanced, "{ledger:?}");
    assert_eq!((ledger.unpaired, ledger.unexplained), (11, 0));
    assert_eq!(ledger.causes["read_entered_before_attach"], 5);
    assert_eq!(ledger.causes["site_entered_before_attach"], 4);
    assert_eq!(ledger.causes["site_interrupted"], 2);
}

#[test]
fn half_a_call_that_neither_explains_puts_the_ledger_out_of_balance() {
    use Counter as C;
    let halves: [(&[C], &str, &str); 6] = [
        (
            &[C::ReadHits, C::ReadExitAlone, C::ReadEntryUnseen],
            "read_syscall",
            "read_entry_unseen",
        ),
        (
            &[C::ReadHits, C::ReadEntryAlone],
            "read_syscall",
            "read_entered_twice",
        ),
        (
            &[C::ReadHits, C::ReadThreadEnded],
            "read_syscall",
            "read_thread_ended",
        ),
        (
            &[C::SiteHits, C::SiteUnpaired, C::SiteWithoutSyscall],
            "site_read_done",
            "site_without_syscall",
        ),
        (
            &[C::WriteHits, C::WriteEntryAlone],
            "write_syscall",
            "write_entered_twice",
        ),
        (
            &[C::WriteHits, C::WriteThreadEnded],
            "write_syscall",
            "write_thread_ended",
        ),
    ];
    for (raised, probe, cause) in halves {
        let raised: Vec<(C, u64)> = raised.iter().map(|counter| (*counter, 1)).collect();
        let ledger = ledger(&counted(&raised), InFlight::default(), Received::default());
        assert!(!ledger.balanced, "{cause}");
        assert_eq!((ledger.unexplained, ledger.causes[cause]), (1, 1));
        let row = ledger.probes[probe];
        assert!(row.adds_up() && row.unexplained == 1, "{row:?}");
    }
}

#[test]
fn a_missed_hit_that_may_have_been_ours_puts_the_ledger_out_of_balance() {
    let with = |missed: &[(&str, u64)]| {
        let missed = missed
            .iter()
            .map(|(program, hits)| ((*program).to_owned(), *hits));
        let mut ledger = ledger(&counted(&[]), InFlight::default(), Received::default());
        enter_missed(&mut ledger, &missed.collect());
        ledger
    };
    let lost = with(&[("function_return", 2), ("read_done", 3), ("closed", 0)]);
    assert!(!lost.balanced);
    assert_eq!((lost.missed, lost.probes["function"].missed), (5, 2));
    assert_eq!(lost.probes["site_read_done"].missed, 3);
    // Of those that leave half a call, that tells whether they were ours.
    let left_a_half = with(&[
        ("kprobe_read_exit", 7),
        ("fentry_read", 1),
        ("fexit_write", 0),
        ("raw_sys_enter", 2),
    ]);
    assert!(left_a_half.balanced && left_a_half.missed == 0);
    let causes = [
        ("fentry_read_missed", 1),
        ("kprobe_read_exit_missed", 7),
        ("raw_sys_enter_missed", 2),
    ];
    assert_eq!(
        left_a_half.causes,
        causes.map(|(cause, hits)| (cause.to_owned(), hits)).into()
    );
}

/// All processes run into these: that the kernel passed one over says nothing of ours.
#[test]
fn programs_on_system_calls_lose_nothing_without_a_trace() {
    let mut programs = pair::all_programs();
    assert!(programs.all(|program| may_be_lost(&program).is_none()));
}

#[test]
fn a_lost_hit_or_record_is_not_balanced() {
    let balanced = |counted, received| ledger(counted, InFlight::default(), received).balanced;
    let hit = counted(&[(Counter::ReadHits, 1)]);
    assert!(!balanced(&hit, Received::default()));
    let written = counted(&[(Counter::RecordsWritten, 1)]);
    assert!(!balanced(&written, Received::default()));
    let nothing = counted(&[]);
    let unknown = Received {
        records: 0,
        unknown: 1,
    };
    assert!(!balanced(&nothing, unknown));
    assert!(balanced(&nothing, Received::default()));
}

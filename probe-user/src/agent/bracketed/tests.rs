use super::*;

fn names(from: usize, count: usize) -> Vec<String> {
    (from..from + count).map(|n| format!("on+{n}")).collect()
}

#[test]
fn arms_that_no_process_has_make_room_for_others() {
    let mut memories = Memories::default();
    memories.make_room(1, &names(1, MAX_ARMS)).unwrap();
    memories.make_room(1, &names(1, 3)).unwrap();
    assert_eq!(memories.seen[&1].overhead.len(), MAX_ARMS, "they are known");
    memories.make_room(1, &names(100, 2)).unwrap();
    let known: Vec<&String> = memories.seen[&1].overhead.keys().collect();
    assert_eq!(known, ["on+100", "on+101"]);
    assert!(matches!(
        memories.make_room(1, &names(1, MAX_ARMS + 1)),
        Err(NotRead::Arms)
    ));
    memories.make_room(2, &names(1, MAX_ARMS)).unwrap();
    memories.clear(2);
    assert!(memories.seen(2).unwrap().overhead.is_empty());
}

#[test]
fn each_call_is_in_one_place_of_the_ledger() {
    let mut seen = Seen::default();
    seen.overhead.insert("on".to_owned(), Total::default());
    let mut call = Call {
        flags: Call::REACHED_BACK,
        to_back_ns: 100,
        from_back_ns: 30,
        waited_ns: 1_000,
        ..Call::default()
    };
    seen.add("on", &call);
    call.flags = 0;
    seen.add("on", &call);
    assert_eq!(seen.overhead["on"].count(), 1);
    assert_eq!(seen.overhead["on"].sum_ns, 1_130);
    seen.records = RecordLedger {
        begun: 10,
        read: 2,
        overwritten: 4,
        torn: 1,
        unrecordable: 5,
    };
    let mut ledger = Ledger {
        hits: 7,
        recorded: 7,
        balanced: true,
        ..Ledger::default()
    };
    seen.enter(&mut ledger);
    let row = ledger.probes[PROBE];
    let found = [
        row.hits,
        row.recorded,
        row.dropped,
        row.unpaired,
        row.in_flight,
    ];
    assert_eq!(found, [15, 1, 9, 2, 3]);
    assert!(row.is_balanced() && ledger.balanced && ledger.hits == 22);
    assert_eq!(ledger.causes["call_never_reached_back"], 1);

    let mut untouched = Ledger::default();
    Seen::default().enter(&mut untouched);
    assert!(untouched.probes.is_empty(), "it has no such process");
}

#[test]
fn an_answer_is_no_call() {
    let seen = Seen {
        answers: 5,
        records: RecordLedger {
            begun: 11,
            read: 10,
            ..RecordLedger::default()
        },
        ..Seen::default()
    };
    let mut ledger = Ledger::default();
    seen.enter(&mut ledger);
    let row = ledger.probes[PROBE];
    assert_eq!([row.hits, row.recorded, row.in_flight], [6, 5, 1]);
    assert!(row.is_balanced());
}

#[test]
fn what_is_made_up_overflows_nothing() {
    let seen = Seen {
        records: RecordLedger {
            begun: u64::MAX,
            read: u64::MAX,
            overwritten: u64::MAX,
            torn: u64::MAX,
            unrecordable: u64::MAX,
        },
        ..Seen::default()
    };
    let mut ledger = Ledger {
        hits: 1,
        balanced: true,
        ..Ledger::default()
    };
    seen.enter(&mut ledger);
    assert!(!ledger.balanced, "numbers that cannot be are no ledger");
}

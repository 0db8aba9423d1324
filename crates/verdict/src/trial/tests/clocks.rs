//! Trials whose servers have another clock than the client.

use runlog::analysis::ClockRelation;

use super::*;

const AHEAD_NS: u64 = 1_000_000_000_000;

/// The same trial with the servers' clock ahead.
fn two_clocks() -> Rows {
    let mut rows = SCRIPT.make();
    for call in &mut rows.calls {
        call.enter_ns += AHEAD_NS;
        call.back_exit_ns += AHEAD_NS;
    }
    rows
}

#[test]
fn calls_are_joined_as_with_one_clock() {
    let one = SCRIPT.found().result;
    let rows = two_clocks();
    let (_folder, run) = rows.write();
    let on = |server_ahead_ns| {
        read_on(&run, &rows.schedule, server_ahead_ns)
            .unwrap()
            .result
    };
    assert_eq!(on(AHEAD_NS.cast_signed()), one);

    let clocks = clocks(&run, &rows.schedule, ClockRelation::Two)
        .unwrap()
        .unwrap();
    let off_by_ns = (clocks.offset_ns - AHEAD_NS as f64).abs();
    assert!(
        off_by_ns <= clocks.bound_ns && clocks.bound_ns < BASE_NS,
        "{clocks:?}"
    );
    assert_eq!(clocks.drift_ns.to_bits(), 0);
    // What the clocks are known to does not decide which call belongs to which request, nor how long it took.
    let found = on(AHEAD_NS.cast_signed() + whole_ns(clocks.bound_ns).cast_signed());
    assert_eq!((&found.effects, &found.counts), (&one.effects, &one.counts));
    let whole = |result: &TrialResult| result.in_situ.clone().unwrap().whole;
    assert_eq!(whole(&found), whole(&one));
}

#[test]
fn a_record_that_is_made_up_does_not_move_the_clocks() {
    let mut rows = two_clocks();
    for call in rows.calls.iter_mut().step_by(10) {
        call.enter_ns = 7;
        call.back_exit_ns = 7;
    }
    let (_folder, run) = rows.write();
    let clocks = clocks(&run, &rows.schedule, ClockRelation::Two)
        .unwrap()
        .unwrap();
    let off_by_ns = (clocks.offset_ns - AHEAD_NS as f64).abs();
    assert!(
        off_by_ns <= clocks.bound_ns && clocks.bound_ns < BASE_NS,
        "{clocks:?}"
    );
}

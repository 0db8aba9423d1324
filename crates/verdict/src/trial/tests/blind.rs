//! Delays that are held against their lengths.

use runlog::truth::{DelayFound, Finding, Truth};

use super::*;
use crate::order::Order;
use crate::truth::judge;

/// As `probe-user validate truth` does, without probes.
fn truth(rows: &Rows) -> Truth {
    let (logged, manifest) = rows.logged(None);
    let found = logged.trial.unwrap();
    let blind = found.blind(&logged.calls, Order::of(&manifest.schedule));
    judge(blind, &found.delays(), rows.analysis(None))
}

fn findings(delay: &DelayFound) -> Vec<Finding> {
    delay.layers().map(|(_, seen)| seen.finding).collect()
}

#[test]
fn delays_are_found_as_long_as_they_lasted() {
    let truth = truth(&SCRIPT.make());
    assert!(truth.holds, "{truth:?}");
    let lengths: Vec<_> = (truth.delays.iter())
        .map(|delay| (delay.asked_ns, delay.is_measured))
        .collect();
    assert_eq!(lengths, [(100, true), (1_000, true)]);
    for (delay, lasted_ns) in truth.delays.iter().zip([140.0, 1_040.0]) {
        assert!((delay.in_situ.truth - lasted_ns).abs() < 1e-6);
        // Nothing else differs inside the server.
        let in_situ = known(delay.in_situ.estimate.as_ref());
        assert!((in_situ.estimate - lasted_ns).abs() < 1e-6);
        assert_eq!(findings(delay), [Finding::Found, Finding::Found]);
    }
    let detectable = truth.detectable.unwrap();
    // 3.3 standard errors of a difference of two means of 6,400 requests of 300 ns.
    let expected_ns = 3.3 * 300.0 * (2.0_f64 / 6_400.0).sqrt();
    assert!((expected_ns / 2.5..2.5 * expected_ns).contains(&detectable.ns));
}

#[test]
fn what_is_estimated_under_a_name_is_of_the_arm_of_that_name() {
    let (logged, manifest) = SCRIPT.make().logged(None);
    let found = logged.trial.unwrap();
    let blind = found.blind(&logged.calls, Order::of(&manifest.schedule));
    let text = serde_json::to_string(&blind).unwrap();
    assert!(!text.contains("on+"), "{text}");
    let names: Vec<_> = blind.arms.iter().map(|arm| arm.arm.as_str()).collect();
    assert_eq!(names, ["arm-1", "arm-2"]);
    for (arm, delay) in blind.arms.iter().zip(found.delays()) {
        assert_eq!(arm.arm, delay.arm);
        assert_finds(arm.macro_.as_ref(), delay.in_macro_ns.unwrap(), 25.0);
    }
}

/// Responses to requests with the longest delay take so much longer than it.
fn longer_by(ns: i64) -> Truth {
    let mut rows = SCRIPT.make();
    for request in &mut rows.requests {
        if rows.trial.arms()[usize::from(request.arm)].delay_ns() == 1_000 {
            request.done_ns = request.done_ns.checked_add_signed(ns).unwrap();
        }
    }
    truth(&rows)
}

#[test]
fn what_a_machine_adds_to_a_delay_is_no_miss_unless_it_is_a_tenth() {
    for (ns, finding) in [(70, Finding::Unresolved), (250, Finding::Missed)] {
        let truth = longer_by(ns);
        assert_eq!(truth.delays[1].macro_.finding, finding);
        assert_eq!((truth.slope.finding, truth.finding), (finding, finding));
    }
}

#[test]
fn a_response_that_ends_too_early_is_a_miss_and_a_wide_interval_is_none() {
    let missed = longer_by(-150);
    assert_eq!((missed.finding, missed.holds), (Finding::Missed, false));
    assert_eq!(findings(&missed.delays[0]), [Finding::Found; 2]);
    assert_eq!(
        findings(&missed.delays[1]),
        [Finding::Found, Finding::Missed]
    );

    let noisy = Script {
        noise_ns: 2_000.0,
        requests: 300,
        ..SCRIPT
    };
    let unresolved = truth(&noisy.make());
    let of_run = (unresolved.finding, unresolved.holds);
    assert_eq!(of_run, (Finding::Unresolved, false));
    assert_eq!(unresolved.slope.finding, Finding::Unresolved);
    assert_eq!(
        findings(&unresolved.delays[1]),
        [Finding::Found, Finding::Unresolved]
    );
}

#[test]
fn without_records_there_is_nothing_to_see_in_situ() {
    let mut rows = SCRIPT.make();
    rows.calls.clear();
    let truth = truth(&rows);
    assert_eq!(truth.finding, Finding::Unresolved);
    for delay in &truth.delays {
        assert!(!delay.is_measured);
        assert!((delay.macro_.truth - delay.asked_ns as f64).abs() < 1e-9);
        assert_eq!(delay.in_situ.finding, Finding::Unresolved);
    }
}

#[test]
fn probes_see_the_delay_as_the_hooks() {
    let script = Script {
        probed: true,
        requests: 300,
        ..SCRIPT
    };
    let (logged, manifest) = script.make().logged(Some(Probes::default()));
    let found = logged.trial.unwrap();
    let blind = found.blind(&logged.calls, Order::of(&manifest.schedule));
    for (arm, delay) in blind.arms.iter().zip(found.delays()) {
        let by_ebpf = known(arm.in_situ_ebpf.as_ref());
        assert!((by_ebpf.estimate - delay.median_ns.unwrap()).abs() < 1e-6);
    }
}

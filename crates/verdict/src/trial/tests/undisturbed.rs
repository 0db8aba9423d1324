//! Requests that nothing disturbs.

use super::*;
use crate::doubt::of_undisturbed;

/// Half of the requests are slowed down by some microseconds at either end: means are known to some hundred
/// nanoseconds, and what the hook adds to the others is known as if they were alone.
#[test]
fn beside_a_neighbour_an_undisturbed_request_is_still_known() {
    for (outside_ns, blocking) in [(0.0, false), (0.0, true), (80.0, false)] {
        let script = Script {
            hook_ns: 400,
            requests: 4_000,
            noise_ns: 60.0,
            neighbour: 0.5,
            outside_ns,
            blocking,
            ..SCRIPT
        };
        let mut found = script.found();
        let hook_ns = 400.0
            - if blocking {
                f64::from(BEFORE_READ_NS)
            } else {
                0.0
            };
        let on = found.result.effects["on"].body.clone();
        assert!(half_width(known(on.as_ref())) > 60.0, "{on:?}");
        found.fill_undisturbed(&[]);
        let undisturbed = found.result.undisturbed.as_ref().unwrap();
        assert!(
            (undisturbed.share - 0.5).abs() < 0.02,
            "{}",
            undisturbed.share
        );
        let on = &undisturbed.effects["on"];
        assert_finds(Some(&on.end_to_end), hook_ns + outside_ns, 8.0);
        assert_finds(on.outside_call.as_ref(), outside_ns, 8.0);
        assert_finds(Some(&undisturbed.effects["null"].end_to_end), 0.0, 8.0);
        let doses = undisturbed.doses.as_ref().unwrap();
        assert!((doses.arms[1].delay_ns - 1_040.0).abs() < 1e-6);
        assert_finds(doses.slope.as_ref(), 1.0, 0.01);
        let agreement = undisturbed.agreement.as_ref().unwrap();
        let verdict = if outside_ns > 0.0 {
            Verdict::Differ
        } else {
            Verdict::Agree
        };
        assert_eq!(
            (agreement.verdict, agreement.margin_ns.map(f64::round)),
            (verdict, Some((0.1 * hook_ns).round()))
        );
    }
}

/// Its work before a read that waits is in the way of a request that is sent meanwhile: nothing is chosen by such a start,
/// and all of it counts.
#[test]
fn a_hook_that_is_still_at_work_when_the_request_comes_is_seen_wholly() {
    const LATE_NS: u32 = 3_000;
    let mut rows = Script {
        noise_ns: 60.0,
        blocking: true,
        ..SCRIPT
    }
    .make();
    let size = u64::from(SIZE);
    let of_arms = rows
        .requests
        .iter_mut()
        .filter(|request| request.first_byte >= size);
    for (request, call) in of_arms.zip(&mut rows.calls) {
        if rows.trial.arms()[usize::from(call.arm)].is_hooked() {
            call.enter_ns = request.sent_ns - 100;
            call.to_back_ns = 100 + LATE_NS;
            call.back_exit_ns += u64::from(LATE_NS);
            request.done_ns += u64::from(LATE_NS);
        }
    }
    let mut found = rows.found();
    found.fill_undisturbed(&[]);
    let undisturbed = found.result.undisturbed.as_ref().unwrap();
    assert!((undisturbed.share - 1.0).abs() < 1e-9);
    let on = &undisturbed.effects["on"];
    assert_finds(Some(&on.end_to_end), 70.0 + f64::from(LATE_NS), 30.0);
    assert_finds(on.outside_call.as_ref(), 0.0, 30.0);
    assert_eq!(found.agreement(&[]).unwrap().verdict, Verdict::Agree);
}

/// Without records there is no start to choose requests by: the mode of all is left.
#[test]
fn without_records_an_undisturbed_request_is_known_end_to_end_alone() {
    let mut rows = Script {
        noise_ns: 60.0,
        ..SCRIPT
    }
    .make();
    rows.calls.clear();
    let (_folder, run) = rows.write();
    std::fs::remove_file(run.bracketed_calls()).unwrap();
    let mut found = read(&run, &rows.schedule).unwrap();
    found.fill_undisturbed(&[]);
    let undisturbed = found.result.undisturbed.unwrap();
    assert!((undisturbed.share - 1.0).abs() < 1e-9);
    let on = &undisturbed.effects["on"];
    assert_finds(Some(&on.end_to_end), 100.0, 25.0);
    assert!(on.outside_call.is_none() && undisturbed.agreement.is_none());
    assert!(!undisturbed.doses.unwrap().arms[0].is_measured);
}

/// Their controls are their own: those of the mean say nothing about them.
#[test]
fn undisturbed_requests_have_controls_of_their_own() {
    let found = Script {
        noise_ns: 60.0,
        ..SCRIPT
    }
    .found();
    let mut undisturbed = found.result.undisturbed.clone().unwrap();
    let mut wrong = known(found.result.effects["null"].body.as_ref()).clone();
    (wrong.estimate, wrong.ci95) = (7.0, [6.0, 8.0]);
    let of_mean = [Doubt::Trial(TrialDoubt::NullDiffers(wrong.clone()))];
    assert_eq!(of_undisturbed(&undisturbed, &of_mean), []);
    undisturbed.effects.get_mut("null").unwrap().end_to_end = wrong.clone();
    assert_eq!(of_undisturbed(&undisturbed, &[]), of_mean);
    wrong.ci95 = [4.0, 9.0];
    undisturbed.effects.get_mut("null").unwrap().end_to_end = wrong;
    assert_eq!(of_undisturbed(&undisturbed, &[]), []);
}

use super::*;
use runlog::estimate::{Estimate, Unit};

use crate::doubt::Severity;

fn requests(sent: u64, failed: u64) -> Requests {
    let failed = match failed {
        0 => [].into(),
        count => [("timed_out".to_owned(), count)].into(),
    };
    Requests { sent, failed }
}

fn join(requests: u64, matched: u64) -> Join {
    Join {
        requests,
        matched,
        ..Join::default()
    }
}

#[test]
fn of_a_sound_result_there_is_no_doubt() {
    let balanced = Ledger {
        balanced: true,
        ..Ledger::default()
    };
    assert_eq!(of_ledger(&balanced), []);
    assert_eq!(of_requests(&requests(10_000, 0)), None);
    assert_eq!(of_join(&join(10_000, 10_000)), []);
}

#[test]
fn a_ledger_of_hits_that_no_program_saw_does_not_balance() {
    let says_so = Ledger::default();
    let passed_over = Ledger {
        balanced: true,
        missed: 1,
        ..Ledger::default()
    };
    let half_a_call = Ledger {
        balanced: true,
        unpaired: 1,
        unexplained: 1,
        ..Ledger::default()
    };
    for ledger in [says_so, passed_over, half_a_call] {
        assert_eq!(of_balance(&ledger), Some(Doubt::Unbalanced), "{ledger:?}");
        assert_eq!(of_ledger(&ledger), [Doubt::Unbalanced]);
    }
    // What attaching and detaching cut in two is none.
    let cut = Ledger {
        balanced: true,
        unpaired: 7,
        in_flight: 3,
        ..Ledger::default()
    };
    assert_eq!(of_balance(&cut), None);
}

#[test]
fn failures_and_missing_records_make_a_result_unusable() {
    let lost = Ledger {
        dropped: 3,
        ..Ledger::default()
    };
    let outside = Join {
        outside_attach: 2,
        outside_sent_done: 1,
        ..join(10, 10)
    };
    let mut doubts = of_ledger(&lost);
    doubts.extend(of_requests(&requests(1_000, 1)));
    doubts.extend(of_join(&join(1_000, 999)));
    doubts.extend(of_join(&join(0, 0)));
    doubts.extend(of_join(&outside));
    let said = crate::doubt::words(&doubts, |severity| severity == Severity::NotUsable);
    let expected = [
        "the ledger does not balance",
        "3 records were dropped because a buffer was full (--ring-bytes)",
        "1 of 1000 requests failed (1 × timed_out)",
        "1 of 1000 requests could not be joined to records: were they read past the hook, or by a process that was \
             started while the probes were attached?",
        "no request was made while the probes were attached",
        "2 requests lie outside of the time that was recorded",
        "1 requests have reads outside of [sent, done]",
    ];
    assert_eq!(said, expected);
}

#[test]
fn an_agents_doubts_name_their_arm() {
    let arm = ArmResult {
        arm: "hooked".to_owned(),
        requests: 10,
        errors: 1,
        not_written: 4,
        unobserved_s: 0.3,
        ledger: Ledger {
            balanced: true,
            ..Ledger::default()
        },
        ..ArmResult::default()
    };
    let said = crate::doubt::words(&of_agent_arm(&arm), |_| true);
    let expected = [
        "arm hooked: 4 records were not written (--max-run-bytes)",
        "arm hooked: its processes ran 0.3 s before they were observed",
        "arm hooked: 1 of 10 requests failed",
    ];
    assert_eq!(said, expected);
}

#[test]
fn limits_count_from_their_tolerance_on() {
    let all = Resources {
        throttled_periods: Some(3),
        memory_limit_hits: Some(1),
        listen_overflows: Some(2),
        descriptors: Some(0.99),
        loadgen_busy: Some(0.97),
        servers_busy: Some(1.0),
        stolen: Some(0.05),
    };
    let doubts = of_resources(&all);
    let said = crate::doubt::words(&doubts, |severity| severity == Severity::Withholds);
    assert_eq!(said.len(), 6, "{said:?}");
    for (words, text) in said.iter().zip([
        "in 3 periods",
        "memory limit 1 times",
        "2 connections",
        "99.0 % of the descriptors",
        "97.0 % of the time",
        "5.0 % of the CPU time",
    ]) {
        assert!(words.contains(text), "{words}");
    }
    // What is there without being too much is no doubt.
    let some = Resources {
        throttled_periods: Some(0),
        memory_limit_hits: Some(0),
        listen_overflows: Some(0),
        descriptors: Some(0.5),
        loadgen_busy: Some(0.6),
        servers_busy: Some(1.0),
        stolen: Some(0.002),
    };
    assert_eq!(of_resources(&some), []);
    assert_eq!(of_resources(&Resources::default()), []);
}

#[test]
fn equal_servers_that_differ_by_more_than_layers_may_withhold_the_verdict() {
    let a_a = |ci95| Interval {
        estimate: 100.0,
        ci95,
        blocks: 10,
    };
    assert_eq!(of_a_a(a_a([1.0, 199.0]), 25.0), None, "0 is no margin");
    assert_eq!(of_a_a(a_a([-1.0, 24.0]), 25.0), None);
    let doubt = of_a_a(a_a([-199.0, -26.0]), 25.0).unwrap();
    assert_eq!(doubt.severity(), Severity::Withholds);
    assert!(doubt.to_string().starts_with("A/A fails"), "{doubt}");
}

#[test]
fn a_level_that_still_changes_late_withholds_the_verdict() {
    let noise = [0.9, -0.4, 0.3, -1.0, 0.6, -0.2, 0.1, -0.3];
    let rests: Vec<f64> = (0..40_usize)
        .map(|round| 20.0 * noise[round % 8] + if round < 30 { 0.0 } else { 400.0 })
        .collect();
    let found = of_level(&rests);
    // Of eight values of noise, which the 40 repeat, the middle two are -0.2 and 0.1 times 20. Of the last ten, which begin with
    // the seventh, they are -0.2 and 0.1 too.
    let expected = LateLevel {
        observation: 31,
        of: 40,
        medians_ns: [-1.0, 399.0],
    };
    assert_eq!(found, Some(Doubt::Unsettled(expected)));
    let early: Vec<f64> = rests.iter().rev().copied().collect();
    assert_eq!(of_level(&early), None, "it ended in the first half");
}

#[test]
fn a_hook_that_no_request_feels_may_not_be_called_at_all() {
    let estimate = |estimate: f64| {
        Some(Estimate {
            estimate,
            ci95: [estimate - 100.0, estimate + 100.0],
            unit: Unit::Ns,
            estimand: String::new(),
            method: String::new(),
            blocks: 8,
        })
    };
    let said = |alone_ns, end_to_end_ns| {
        let micro = Micro {
            hook_overhead: estimate(alone_ns),
            ..Micro::default()
        };
        let macro_ = Macro {
            difference: estimate(end_to_end_ns),
            ..Macro::default()
        };
        of_alone(&micro, &macro_)
    };
    let doubt = said(5_000.0, 30.0).unwrap();
    assert_eq!(doubt.severity(), Severity::Warning);
    assert!(doubt.to_string().contains("4900 ns or more"), "{doubt}");
    // Intervals that meet say nothing.
    assert_eq!(said(5_000.0, 4_810.0), None);
    assert_eq!(said(5_000.0, 9_000.0), None);
    assert_eq!(of_alone(&Micro::default(), &Macro::default()), None);
}

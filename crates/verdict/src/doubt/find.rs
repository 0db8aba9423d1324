//! From facts to doubts.

use runlog::agent_run::ArmResult;
use runlog::analysis::{Join, Ledger, Requests};
use runlog::comparison::{ArmFigures, Comparison};
use runlog::doctor::{Checkups, State};
use runlog::estimate::Estimate;
use runlog::manifest::Resources;
use stats::change_point::{WarmUp, warm_up};
use stats::mean;

use super::{
    CORRELATION_ERRORS, DESCRIPTORS, Doubt, FAILED_SHARE, LEAST_COVERAGE, LEVEL, LOADGEN_BUSY,
    Limit, STOLEN_SHARE, UNEQUAL_SHARE, UNMATCHED_SHARE,
};

/// Observations that the search for a change of level looks at; more are put together. It takes time with the
/// square of their number.
const MOST_OBSERVATIONS: usize = 500;

/// Whether so many of all are more than that share.
fn exceed(count: u64, share: f64, all: u64) -> bool {
    count as f64 > share * all as f64
}

/// Where hits and records went.
pub fn of_ledger(ledger: &Ledger) -> Vec<Doubt> {
    let unbalanced = (!ledger.balanced).then_some(Doubt::Unbalanced);
    let dropped = (ledger.dropped > 0).then_some(Doubt::Dropped(ledger.dropped));
    unbalanced.into_iter().chain(dropped).collect()
}

/// What was sent to an arm.
pub fn of_requests(requests: &Requests) -> Option<Doubt> {
    let failures = requests.failed.values().sum();
    exceed(failures, FAILED_SHARE, requests.sent).then(|| Doubt::Failed {
        failures,
        sent: requests.sent,
        kinds: requests.failed.clone(),
    })
}

/// How requests found their records.
pub fn of_join(join: &Join) -> Vec<Doubt> {
    let requests = join.requests;
    let unmatched = requests - join.matched;
    let mut doubts = Vec::new();
    if requests == 0 {
        doubts.push(Doubt::NothingToJoin);
    } else if exceed(unmatched, UNMATCHED_SHARE, requests) {
        doubts.push(Doubt::NotJoined {
            unmatched,
            requests,
        });
    }
    if join.outside_attach > 0 {
        doubts.push(Doubt::OutsideRecording(join.outside_attach));
    }
    if join.outside_sent_done > 0 {
        doubts.push(Doubt::OutsideSentDone(join.outside_sent_done));
    }
    doubts
}

/// An arm of a run that an agent recorded.
pub fn of_agent_arm(arm: &ArmResult) -> Vec<Doubt> {
    let mut doubts = of_ledger(&arm.ledger);
    if arm.not_written > 0 {
        doubts.push(Doubt::NotWritten(arm.not_written));
    }
    if arm.unobserved_s > 0.0 {
        doubts.push(Doubt::Unobserved(arm.unobserved_s));
    }
    if arm.requests == 0 {
        doubts.push(Doubt::NoRequests);
    }
    if exceed(arm.errors, FAILED_SHARE, arm.requests) {
        doubts.push(Doubt::Failed {
            failures: arm.errors,
            sent: arm.requests,
            kinds: [].into(),
        });
    }
    if let Some(join) = &arm.join {
        doubts.extend(of_join(join));
    }
    let doubts = doubts.into_iter();
    doubts.map(|doubt| doubt.of_arm(&arm.arm)).collect()
}

/// The limits that were hit.
pub fn of_resources(resources: &Resources) -> Vec<Doubt> {
    let Resources {
        throttled_periods,
        memory_limit_hits,
        listen_overflows,
        descriptors,
        loadgen_busy,
        stolen,
    } = *resources;
    let hit = |count: &u64| *count > 0;
    let beyond = |share: Option<f64>, most| share.filter(|share| *share > most);
    [
        throttled_periods.filter(hit).map(Limit::Throttled),
        memory_limit_hits.filter(hit).map(Limit::Memory),
        listen_overflows.filter(hit).map(Limit::ListenQueue),
        beyond(descriptors, DESCRIPTORS).map(Limit::Descriptors),
        beyond(loadgen_busy, LOADGEN_BUSY).map(Limit::LoadGenerator),
        beyond(stolen, STOLEN_SHARE).map(Limit::Stolen),
    ]
    .into_iter()
    .flatten()
    .map(Doubt::Limit)
    .collect()
}

/// The difference of two equal servers.
pub fn of_a_a(difference: &Estimate) -> Option<Doubt> {
    difference.excludes_zero().then_some(Doubt::AaFails {
        difference_ns: difference.estimate,
        ci95: difference.ci95,
    })
}

/// What the machine was like right before and right after the run.
pub fn of_checkups(checkups: &Checkups) -> Vec<Doubt> {
    let found = [("before", &checkups.before), ("after", &checkups.after)];
    let found = found
        .into_iter()
        .flat_map(|(when, found)| found.iter().map(move |finding| (when, finding)));
    found
        .filter(|(_, finding)| finding.state == State::Fail)
        .map(|(when, finding)| Doubt::Machine {
            name: finding.name.clone(),
            when,
            found: finding.found.clone(),
        })
        .collect()
}

/// What is compared, in the order of time: whether it still changes its level in the second half of the run.
pub fn of_level(observations: &[f64]) -> Option<Doubt> {
    let size = observations.len().div_ceil(MOST_OBSERVATIONS).max(1);
    let level: Vec<f64> = observations.chunks(size).filter_map(mean).collect();
    match warm_up(&level) {
        WarmUp::Ends(_) => None,
        WarmUp::DoesNotEnd(at) => Some(Doubt::Unsettled {
            observation: at * size + 1,
            of: observations.len(),
        }),
    }
}

/// A recorded arm, for a comparison.
pub fn of_recorded_arm(arm: &ArmFigures) -> Vec<Doubt> {
    let halves = arm.halves.as_ref().filter(|halves| halves.p < LEVEL);
    let lag1 = arm.blocks.as_ref().and_then(|blocks| {
        let limit = CORRELATION_ERRORS / (blocks.count as f64).sqrt();
        blocks.lag1.filter(|lag1| *lag1 > limit)
    });
    [
        halves.map(|halves| Doubt::HalvesDiffer(halves.t)),
        lag1.map(|lag1| Doubt::NeighboursAlike(lag1)),
    ]
    .into_iter()
    .flatten()
    .map(|doubt| doubt.of_arm(&arm.name))
    .collect()
}

/// A comparison of recorded arms.
pub fn of_comparison(comparison: &Comparison) -> Vec<Doubt> {
    let arms = || [comparison.baseline.clone(), comparison.treatment.clone()];
    let requests = comparison.n.map(|count| count as u64);
    let [before, after] = requests;
    let mut doubts = Vec::new();
    if exceed(before.abs_diff(after), UNEQUAL_SHARE, before.max(after)) {
        doubts.push(Doubt::UnequalLengths {
            arms: arms(),
            requests,
        });
    }
    if comparison.t.is_none() {
        doubts.push(Doubt::NoVariation(arms()));
    }
    let shifts = comparison.beyond_means.iter();
    let quantiles: Vec<(f64, Option<f64>)> = shifts
        .flat_map(|beyond| &beyond.quantile_shifts)
        .filter(|shift| shift.shift.is_some())
        .map(|shift| (shift.quantile, shift.simulated_coverage))
        .filter(|(_, share)| share.is_none_or(|share| share < LEAST_COVERAGE))
        .collect();
    if !quantiles.is_empty() {
        doubts.push(Doubt::WeakIntervals(quantiles).of_arm(&comparison.treatment));
    }
    doubts
}

#[cfg(test)]
mod tests {
    use runlog::estimate::Unit;

    use super::*;
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
            "1 of 1000 requests could not be joined to records",
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
            stolen: Some(0.002),
        };
        assert_eq!(of_resources(&some), []);
        assert_eq!(of_resources(&Resources::default()), []);
    }

    #[test]
    fn equal_servers_that_are_told_apart_withhold_the_verdict() {
        let a_a = |ci95| Estimate {
            estimate: 100.0,
            ci95,
            unit: Unit::Ns,
            estimand: String::new(),
            method: String::new(),
            blocks: 10,
        };
        assert_eq!(of_a_a(&a_a([-1.0, 201.0])), None);
        let doubt = of_a_a(&a_a([1.0, 199.0])).unwrap();
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
        let expected = Doubt::Unsettled {
            observation: 31,
            of: 40,
        };
        assert_eq!(found, Some(expected));
        let early: Vec<f64> = rests.iter().rev().copied().collect();
        assert_eq!(of_level(&early), None, "it ended in the first half");
    }
}

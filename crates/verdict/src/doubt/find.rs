//! From facts to doubts.

use runlog::agent_run::ArmResult;
use runlog::analysis::{Join, Ledger, Macro, Micro, Requests};
use runlog::comparison::{ArmFigures, Comparison};
use runlog::doctor::{Checkups, State};
use runlog::manifest::Resources;
use stats::change_point::{WarmUp, warm_up};
use stats::moments::quantile;
use stats::{Interval, mean};

use super::{
    CORRELATION_ERRORS, DESCRIPTORS, Doubt, FAILED_SHARE, LEAST_COVERAGE, LEVEL, LOADGEN_BUSY,
    LateLevel, Limit, STOLEN_SHARE, UNEQUAL_SHARE, UNMATCHED_SHARE,
};

/// Observations that the search for a change of level looks at; more are put together, as it looks at all of them in many
/// random orders.
const MOST_OBSERVATIONS: usize = 500;

/// Whether so many of all are more than that share.
fn exceed(count: u64, share: f64, all: u64) -> bool {
    count as f64 > share * all as f64
}

/// Whether everything that the kernel was asked to see is accounted for. All that take a ledger for good or bad ask this.
pub fn of_balance(ledger: &Ledger) -> Option<Doubt> {
    let is_sound = ledger.balanced && ledger.saw_everything();
    (!is_sound).then_some(Doubt::Unbalanced)
}

/// Where hits and records went.
pub fn of_ledger(ledger: &Ledger) -> Vec<Doubt> {
    let unbalanced = of_balance(ledger);
    let dropped = (ledger.dropped > 0).then_some(Doubt::Dropped(ledger.dropped));
    let passed_over = ledger.causes.iter();
    let passed_over = passed_over.filter(|(cause, _)| cause.ends_with("_missed"));
    let passed_over: u64 = passed_over.map(|(_, hits)| hits).sum();
    let passed_over = (passed_over > 0).then_some(Doubt::PassedOver(passed_over));
    let doubts = [unbalanced, dropped, passed_over];
    doubts.into_iter().flatten().collect()
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
        servers_busy: _,
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

/// The difference of two arms that do the same, where layers are to agree within a margin: it fails if all of its interval lies
/// beyond. That it excludes 0 says no more than that nothing is exactly alike.
pub fn of_a_a(difference: Interval, margin_ns: f64) -> Option<Doubt> {
    (difference.nearer_end() > margin_ns).then_some(Doubt::AaFails {
        difference_ns: difference.estimate,
        ci95: difference.ci95,
        margin_ns,
    })
}

/// Whether the hook was called, where no layer in situ knows: each request has a call that reads it.
pub fn of_alone(micro: &Micro, macro_: &Macro) -> Option<Doubt> {
    let alone_ns = micro.hook_overhead.as_ref()?.ci95[0];
    let at_most_ns = macro_.difference.as_ref()?.ci95[1];
    (alone_ns > at_most_ns).then_some(Doubt::NotFelt {
        alone_ns,
        at_most_ns,
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

/// What is compared, in ns and in the order of time: whether it still changes its level in the second half of the run.
pub fn of_level(observations: &[f64]) -> Option<Doubt> {
    let size = observations.len().div_ceil(MOST_OBSERVATIONS).max(1);
    let level: Vec<f64> = observations.chunks(size).filter_map(mean).collect();
    match warm_up(&level) {
        WarmUp::Ends(_) => None,
        WarmUp::DoesNotEnd(at) => {
            let (before, after) = level.split_at(at);
            Some(Doubt::Unsettled(LateLevel {
                observation: at * size + 1,
                of: observations.len(),
                medians_ns: [before, after].map(|level| quantile(level, 0.5).unwrap_or(f64::NAN)),
            }))
        }
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
        lag1.map(Doubt::NeighboursAlike),
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
mod tests;

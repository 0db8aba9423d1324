//! Whether in-situ overhead and macro difference agree, round by round; and what keeps that from being
//! judged.

use std::collections::BTreeMap;

use runlog::analysis::{Agreement, Ledger, Macro, Verdict};
use runlog::estimate::{Estimate, Unit};
use runlog::manifest::Resources;
use stats::change_point::{WarmUp, warm_up};
use stats::power::required_blocks;
use stats::ratio::ratio_of_means;
use stats::{Interval, Moments, mean, mean_interval};

use crate::order::Order;
use crate::{UNPAIRED, estimate};

/// Rounds that the search for a change of level looks at; more are put together. It takes time with the
/// square of their number.
const MOST_ROUNDS: usize = 500;
/// The load generator is the bottleneck if it is busy for more of the time.
const SATURATED: f64 = 0.95;
/// A server that has more of its descriptors open may have been refused some.
const DESCRIPTORS: f64 = 0.95;
/// CPU time that the hypervisor may give to others.
const STOLEN: f64 = 0.01;

/// What the agreement is made from. Values are by round; `None` where a block is missing.
#[derive(Debug)]
pub struct Rounds<'r> {
    /// Response time of the baseline, probes detached.
    pub baseline: &'r [Option<f64>],
    /// Of the hooked arm, likewise.
    pub hooked: &'r [Option<f64>],
    /// In-situ overhead of all calls of a request.
    pub in_situ: &'r [Option<f64>],
    /// `read(2)` in the kernel per read, probes attached: baseline and hooked arm.
    pub reads: [&'r [Option<f64>]; 2],
    /// The order of the blocks, by which arms are compared.
    pub order: Order,
}

/// Compares the layers. `withheld` is why no verdict may be given.
pub fn agreement(rounds: &Rounds<'_>, mut withheld: Vec<String>) -> Option<Agreement> {
    let Rounds {
        baseline,
        hooked,
        in_situ: by_round,
        order,
        ..
    } = rounds;
    let known: Vec<f64> = by_round.iter().flatten().copied().collect();
    let in_situ = mean_interval(&known)?;
    let unexplained = order.difference_less(baseline, hooked, by_round)?;
    let resolution_ns = unexplained.half_width();
    let differences: Vec<Option<f64>> = baseline
        .iter()
        .zip(*hooked)
        .map(|(baseline, hooked)| Some((*hooked)? - (*baseline)?))
        .collect();
    let both = |overheads: Vec<Option<f64>>, macros: Vec<Option<f64>>| -> (Vec<f64>, Vec<f64>) {
        overheads
            .into_iter()
            .zip(macros)
            .filter_map(|(overhead, difference)| Some((overhead?, difference?)))
            .unzip()
    };
    let (overheads, macros) = both(order.units(by_round), order.units(&differences));
    // In the order of time.
    withheld.extend(unsettled(&less(&macros, &overheads)));
    let (overheads, macros) = both(
        order.observations(by_round),
        order.observations(&differences),
    );
    let rests = less(&macros, &overheads);
    let verdict = if withheld.is_empty() {
        judge(unexplained, in_situ.estimate)
    } else {
        Verdict::Withheld
    };
    let share = ratio_of_means(&overheads, &macros).map(|ratio| {
        estimate(
            ratio,
            Unit::One,
            "in-situ overhead per request as a share of the macro difference",
            "Fieller's theorem on block means",
        )
    });
    Some(Agreement {
        resolution_ns,
        explained_share: share,
        lines: lines(rounds),
        blocks_more: (verdict == Verdict::Unresolved)
            .then(|| blocks_more(&rests, in_situ.estimate, by_round.len()))
            .flatten(),
        verdict,
        withheld,
        in_situ_per_request: estimate(
            in_situ,
            Unit::Ns,
            "mean over requests of the hook overhead of all its calls, less one clock read a call",
            UNPAIRED,
        ),
        unexplained: estimate(
            unexplained,
            Unit::Ns,
            "macro difference minus in-situ overhead per request",
            &order.method(),
        ),
    })
}

fn judge(unexplained: Interval, in_situ_ns: f64) -> Verdict {
    if !unexplained.contains(0.0) {
        Verdict::Differ
    } else if unexplained.half_width() > in_situ_ns {
        Verdict::Unresolved
    } else {
        Verdict::Agree
    }
}

/// Differences, one by one.
fn less(of: &[f64], less: &[f64]) -> Vec<f64> {
    of.iter().zip(less).map(|(of, less)| of - less).collect()
}

/// How many blocks are missing to see a difference as large as the hook's cost. Each of `rests` is an
/// observation, of some of all the `rounds`.
fn blocks_more(rests: &[f64], in_situ_ns: f64, rounds: usize) -> Option<usize> {
    let sd = Moments::of(rests)?.sd();
    let needed = required_blocks(sd, in_situ_ns)?;
    let units = needed.saturating_sub(rests.len()).max(1);
    Some(units * (rounds / rests.len()).max(1))
}

/// The lines of the budget that both arms show.
fn lines(rounds: &Rounds<'_>) -> BTreeMap<String, Estimate> {
    let [baseline, hooked] = rounds.reads;
    let reads = rounds.order.difference(baseline, hooked).map(|interval| {
        let line = estimate(
            interval,
            Unit::Ns,
            "difference of mean read(2) times in the kernel, hooked minus baseline, probes attached",
            &rounds.order.method(),
        );
        ("read_syscall".to_owned(), line)
    });
    reads.into_iter().collect()
}

/// Whether what is compared still changes its level in the second half of the run.
fn unsettled(rests: &[f64]) -> Option<String> {
    let size = rests.len().div_ceil(MOST_ROUNDS).max(1);
    let level: Vec<f64> = rests.chunks(size).filter_map(mean).collect();
    match warm_up(&level) {
        WarmUp::Ends(_) => None,
        WarmUp::DoesNotEnd(at) => Some(format!(
            "warm-up did not end: the difference between the layers still changes its level at observation \
             {} of {}",
            at * size + 1,
            rests.len()
        )),
    }
}

/// What speaks against any verdict, whatever the layers say.
pub fn reasons_to_withhold(
    ledger: Option<&Ledger>,
    macro_: &Macro,
    resources: Option<&Resources>,
) -> Vec<String> {
    let mut reasons = Vec::new();
    if ledger.is_some_and(|ledger| !ledger.balanced) {
        reasons.push("the ledger does not balance".to_owned());
    }
    // Before A/A: a limit that was hit may be why equal servers differ.
    if let Some(resources) = resources {
        reasons.extend(limits_hit(resources));
    }
    if let Some(a_a) = &macro_.a_a_difference {
        let [low, high] = a_a.ci95;
        if low > 0.0 || high < 0.0 {
            reasons.push(format!(
                "A/A fails: two equal servers differ by {:.0} ns [{low:.0}, {high:.0}] (of sound runs one \
                 in 20 does)",
                a_a.estimate
            ));
        }
    }
    reasons
}

/// The resource limits that were hit.
pub fn limits_hit(resources: &Resources) -> Vec<String> {
    let Resources {
        throttled_periods,
        memory_limit_hits,
        listen_overflows,
        descriptors,
        loadgen_busy,
        stolen,
    } = *resources;
    let counted = [
        (
            throttled_periods,
            "periods in which a server was kept from running by its cgroup's CPU limit",
        ),
        (
            memory_limit_hits,
            "times a server's cgroup came up against its memory limit",
        ),
        (
            listen_overflows,
            "connections found a server's queue of connections full",
        ),
    ];
    let counted = counted.into_iter().filter_map(|(count, what)| {
        let count = count.filter(|count| *count > 0)?;
        Some(format!("a resource limit was hit: {count} {what}"))
    });
    let shares = [
        (
            descriptors,
            DESCRIPTORS,
            "of the descriptors that a server may open were open",
        ),
        (
            loadgen_busy,
            SATURATED,
            "of the time the load generator was busy: it is the bottleneck",
        ),
        (
            stolen,
            STOLEN,
            "of the CPU time was given to others by the hypervisor",
        ),
    ];
    let shares = shares.into_iter().filter_map(|(share, limit, what)| {
        let share = share.filter(|share| *share > limit)?;
        Some(format!(
            "a resource limit was hit: {:.1} % {what}",
            100.0 * share
        ))
    });
    counted.chain(shares).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Noise that has a mean of 0 over the rounds, the same for each call.
    fn noise(round: u32, amplitude: f64) -> f64 {
        let values = [0.9, -0.4, 0.3, -1.0, 0.6, -0.2, 0.1, -0.3];
        values[round as usize % values.len()] * amplitude
    }

    /// Forty rounds in which the hook costs `in_situ` at the call and `macro_` end to end.
    fn outcome(in_situ: f64, macro_: f64, amplitude: f64, withheld: Vec<String>) -> Agreement {
        let rounds = 0..40;
        let of = |value: f64, shift: u32| -> Vec<Option<f64>> {
            let rounds = rounds.clone();
            rounds
                .map(|round| Some(value + noise(round + shift, amplitude)))
                .collect()
        };
        let baseline = of(10_000.0, 0);
        let hooked = of(10_000.0 + macro_, 3);
        let in_situ: Vec<Option<f64>> = rounds
            .clone()
            .map(|round| Some(in_situ + noise(round, 2.0)))
            .collect();
        let rounds = Rounds {
            baseline: &baseline,
            hooked: &hooked,
            in_situ: &in_situ,
            reads: [&baseline, &hooked],
            order: Order::ROUNDS,
        };
        agreement(&rounds, withheld).unwrap()
    }

    #[test]
    fn layers_agree_differ_or_cannot_be_told_apart() {
        let found = outcome(300.0, 310.0, 100.0, vec![]);
        assert_eq!(found.verdict, Verdict::Agree);
        let share = found.explained_share.unwrap();
        assert!((share.estimate - 300.0 / 310.0).abs() < 1e-6, "{share:?}");
        assert!(share.ci95[0] < 1.0 && share.ci95[1] > 1.0);
        assert_eq!(found.blocks_more, None);

        let found = outcome(300.0, 900.0, 100.0, vec![]);
        assert_eq!(found.verdict, Verdict::Differ);
        assert!((found.unexplained.estimate - 600.0).abs() < 1e-6);
        let reads = &found.lines["read_syscall"];
        assert!((reads.estimate - 900.0).abs() < 1e-6, "{reads:?}");

        let found = outcome(300.0, 310.0, 5_000.0, vec![]);
        assert_eq!(found.verdict, Verdict::Unresolved);
        assert_eq!(found.explained_share, None, "any share is possible");
        // With 40 + more rounds the interval would be as narrow as the hook's cost, and a bit.
        let more = found.blocks_more.unwrap() as f64;
        let then = found.resolution_ns * (40.0 / (40.0 + more)).sqrt();
        assert!(then < 300.0 && then > 150.0, "{more} more: {then}");
    }

    #[test]
    fn a_level_that_still_changes_late_withholds_the_verdict() {
        let rests: Vec<f64> = (0..40)
            .map(|round| noise(round, 20.0) + if round < 30 { 0.0 } else { 400.0 })
            .collect();
        let reason = unsettled(&rests).unwrap();
        assert!(reason.contains("observation 31 of 40"), "{reason}");
        let early: Vec<f64> = rests.iter().rev().copied().collect();
        assert_eq!(unsettled(&early), None, "it ended in the first half");
    }

    #[test]
    fn reasons_withhold_the_verdict_and_leave_the_estimates() {
        let found = outcome(300.0, 310.0, 100.0, vec!["a reason".to_owned()]);
        assert_eq!(found.verdict, Verdict::Withheld);
        assert_eq!(found.withheld, ["a reason"]);
        assert!(found.explained_share.is_some());
    }

    #[test]
    fn each_reason_is_named() {
        let a_a = |ci95| Macro {
            a_a_difference: Some(Estimate {
                estimate: 100.0,
                ci95,
                unit: Unit::Ns,
                estimand: String::new(),
                method: String::new(),
                blocks: 10,
            }),
            ..Macro::default()
        };
        let none = reasons_to_withhold(None, &a_a([-1.0, 201.0]), Some(&Resources::default()));
        assert_eq!(none, Vec::<String>::new());
        let all = Resources {
            throttled_periods: Some(3),
            memory_limit_hits: Some(1),
            listen_overflows: Some(2),
            descriptors: Some(0.99),
            loadgen_busy: Some(0.97),
            stolen: Some(0.05),
        };
        let reasons = reasons_to_withhold(Some(&Ledger::default()), &a_a([1.0, 199.0]), Some(&all));
        assert_eq!(reasons.len(), 8, "{reasons:?}");
        for (reason, text) in reasons.iter().zip([
            "ledger",
            "3 periods",
            "memory limit",
            "2 connections",
            "99.0 % of the descriptors",
            "97.0 % of the time",
            "5.0 % of the CPU time",
            "A/A fails",
        ]) {
            assert!(reason.contains(text), "{reason}");
        }
        // What is there without being too much is no reason.
        let some = Resources {
            throttled_periods: Some(0),
            memory_limit_hits: Some(0),
            listen_overflows: Some(0),
            descriptors: Some(0.5),
            loadgen_busy: Some(0.6),
            stolen: Some(0.002),
        };
        assert!(limits_hit(&some).is_empty());
    }
}

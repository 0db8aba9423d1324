//! Whether in-situ overhead and macro difference agree, round by round.

use std::collections::BTreeMap;

use runlog::analysis::{Agreement, Verdict};
use runlog::estimate::{Estimate, Unit};
use stats::power::required_blocks;
use stats::ratio::ratio_of_means;
use stats::{Interval, Moments, mean_interval};

use crate::doubt::find::of_level;
use crate::doubt::{Doubt, Severity, words};
use crate::order::Order;
use crate::{UNPAIRED, as_interval, estimate};

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

/// Compares the layers. `doubts` are those about the run so far; one that is graver than a warning withholds the
/// verdict.
pub fn agreement(rounds: &Rounds<'_>, doubts: &[Doubt]) -> Option<Agreement> {
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
    let unsettled = of_level(&less(&macros, &overheads));
    let doubts: Vec<Doubt> = doubts.iter().cloned().chain(unsettled).collect();
    let (verdict, withheld) = verdict(unexplained, in_situ.estimate, None, &doubts);
    let (overheads, macros) = both(
        order.observations(by_round),
        order.observations(&differences),
    );
    let rests = less(&macros, &overheads);
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
        margin_ns: None,
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

/// The verdict, and why none is given.
pub fn verdict(
    unexplained: Interval,
    in_situ_ns: f64,
    margin_ns: Option<f64>,
    doubts: &[Doubt],
) -> (Verdict, Vec<String>) {
    let withheld = words(doubts, |severity| severity >= Severity::Withholds);
    let verdict = if withheld.is_empty() {
        judge(unexplained, in_situ_ns, margin_ns)
    } else {
        Verdict::Withheld
    };
    (verdict, withheld)
}

fn judge(unexplained: Interval, in_situ_ns: f64, margin_ns: Option<f64>) -> Verdict {
    let [low, high] = unexplained.ci95;
    match margin_ns {
        Some(margin_ns) if -margin_ns <= low && high <= margin_ns => Verdict::Agree,
        Some(margin_ns) if high < -margin_ns || margin_ns < low => Verdict::Differ,
        None if !unexplained.contains(0.0) => Verdict::Differ,
        None if unexplained.half_width() <= in_situ_ns => Verdict::Agree,
        _ => Verdict::Unresolved,
    }
}

/// Whether the run has blocks enough to see the hook's cost end to end, or a difference between the layers, whether or
/// not something withholds the verdict.
pub fn is_resolved(agreement: &Agreement) -> bool {
    let unexplained = as_interval(&agreement.unexplained);
    let in_situ_ns = agreement.in_situ_per_request.estimate;
    judge(unexplained, in_situ_ns, agreement.margin_ns) != Verdict::Unresolved
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

#[cfg(test)]
mod tests;

//! Whether in-situ overhead and macro difference agree: an equivalence, for blocks and for trials alike.

use std::collections::BTreeMap;

use runlog::analysis::{Agreement, Needed, Verdict};
use runlog::estimate::{Estimate, Unit};
use stats::power::{Aim, Pilot};
use stats::ratio::ratio_of_means;
use stats::{Interval, Location};

use crate::doubt::find::{of_a_a, of_level};
use crate::doubt::{Doubt, Severity, words};
use crate::order::{Order, differences};
use crate::{as_interval, estimate};

/// Layers agree within this much, or within a share of what the hook takes in situ, whichever is more.
pub const LEAST_MARGIN_NS: f64 = 25.0;
/// The share in a trial.
pub const SHARE_OF_TRIAL: f64 = 0.1;
/// The share where whole servers are compared, which resolve less: a gap as large as the hook itself is not called agreement.
const SHARE_OF_BLOCKS: f64 = 1.0;

/// The power that a run is planned with for gap and A/A, each by itself. The advice is the larger of two numbers, and chance makes
/// that too large: both lie within the margin with a power of 0.78 if one is much the wider, and of 0.85 if they are alike.
const POWER_OF_EACH: f64 = 0.775;

/// The gap between the layers, and the bounds that it is held against.
#[derive(Clone, Copy, Debug)]
pub struct Gap {
    /// Macro difference minus in-situ overhead, ns.
    pub unexplained: Location,
    /// The difference of two arms that do the same, ns.
    pub a_a: Option<Location>,
    /// The layers agree within this much.
    pub margin_ns: f64,
    /// What one observation is.
    pub observation: &'static str,
}

/// The figures beside a verdict.
#[derive(Debug)]
pub struct Parts {
    /// In-situ overhead of a request.
    pub in_situ_per_request: Estimate,
    /// The rest of the macro difference.
    pub unexplained: Estimate,
    /// The share that is explained.
    pub explained_share: Option<Estimate>,
    /// Lines of the budget.
    pub lines: BTreeMap<String, Estimate>,
}

/// The margin for a hook that takes so much of a request.
pub fn margin_ns(share: f64, in_situ_ns: f64) -> f64 {
    LEAST_MARGIN_NS.max(share * in_situ_ns)
}

impl Gap {
    /// Compares the layers. A doubt that is graver than a warning withholds the verdict. `None` without an interval.
    pub fn agreement(&self, parts: Parts, doubts: &[Doubt]) -> Option<Agreement> {
        let interval = self.unexplained.interval()?;
        let a_a_within_ns = self.a_a.and_then(|a_a| Some(a_a.interval()?.farther_end()));
        let withheld = words(doubts, |severity| severity >= Severity::Withholds);
        let verdict = if withheld.is_empty() {
            judge(interval, a_a_within_ns, self.margin_ns)
        } else {
            Verdict::Withheld
        };
        let Parts {
            in_situ_per_request,
            unexplained,
            explained_share,
            lines,
        } = parts;
        Some(Agreement {
            resolution_ns: interval.half_width(),
            blocks_more: None,
            needed: (verdict == Verdict::Unresolved)
                .then(|| self.needed())
                .flatten(),
            margin_ns: Some(self.margin_ns),
            within_ns: Some(interval.farther_end()),
            a_a_within_ns,
            verdict,
            withheld,
            in_situ_per_request,
            unexplained,
            explained_share,
            lines,
        })
    }

    /// What a run needs to show that the layers agree, if they do. `None` if that would not be more than this one had: then
    /// the gap itself lies near the margin.
    fn needed(&self) -> Option<Needed> {
        let now = self.unexplained.count;
        let wide = [Some(self.unexplained), self.a_a].into_iter().flatten();
        let needed: Option<Vec<usize>> = wide
            .map(|of| Pilot::from(of).required_with(Aim::Within(self.margin_ns), POWER_OF_EACH))
            .collect();
        let observations = needed?.into_iter().max()?;
        (observations > now).then(|| Needed {
            observations,
            of: self.observation.to_owned(),
            now,
        })
    }
}

/// The layers agree if the whole interval of what is unexplained is within the margin, and so is the whole of what this procedure
/// makes of nothing; they differ if all of the interval is beyond either.
fn judge(unexplained: Interval, a_a_within_ns: Option<f64>, margin_ns: f64) -> Verdict {
    let a_a_within_ns = a_a_within_ns.unwrap_or(0.0);
    if unexplained.farther_end().max(a_a_within_ns) <= margin_ns {
        Verdict::Agree
    } else if unexplained.nearer_end() > margin_ns.max(a_a_within_ns) {
        Verdict::Differ
    } else {
        Verdict::Unresolved
    }
}

/// Whether the run is long enough for a verdict, whether or not something withholds it.
pub fn is_resolved(agreement: &Agreement) -> bool {
    let unexplained = as_interval(&agreement.unexplained);
    match agreement.margin_ns {
        Some(margin_ns) => {
            judge(unexplained, agreement.a_a_within_ns, margin_ns) != Verdict::Unresolved
        }
        // In runs of earlier versions.
        None => agreement.verdict != Verdict::Unresolved,
    }
}

/// What the agreement of blocks is made from. Values are by round; `None` where a block is missing.
#[derive(Debug)]
pub struct Rounds<'r> {
    /// Response time of the baseline, probes detached.
    pub baseline: &'r [Option<f64>],
    /// Of the hooked arm, likewise.
    pub hooked: &'r [Option<f64>],
    /// Of two arms that do the same, likewise.
    pub a_a: [&'r [Option<f64>]; 2],
    /// In-situ overhead of all calls of a request.
    pub in_situ: &'r [Option<f64>],
    /// `read(2)` in the kernel per read, probes attached: baseline and hooked arm.
    pub reads: [&'r [Option<f64>]; 2],
    /// The order of the blocks, by which arms are compared.
    pub order: Order,
    /// Of what requests the values are: "mean" or "median".
    pub what: &'static str,
}

/// Compares the layers. `doubts` are those about the run so far.
pub fn agreement(rounds: &Rounds<'_>, doubts: &[Doubt]) -> Option<Agreement> {
    let Rounds {
        baseline,
        hooked,
        a_a: [first, second],
        in_situ: by_round,
        order,
        what,
        ..
    } = rounds;
    let in_situ = order.level(by_round)?;
    let unexplained = order.location_less(baseline, hooked, by_round)?;
    let gap = Gap {
        unexplained,
        a_a: order.location(first, second),
        margin_ns: margin_ns(SHARE_OF_BLOCKS, in_situ.estimate),
        observation: order.observation(),
    };
    let differences = differences(baseline, hooked);
    let both = |overheads: Vec<Option<f64>>, macros: Vec<Option<f64>>| -> (Vec<f64>, Vec<f64>) {
        overheads
            .into_iter()
            .zip(macros)
            .filter_map(|(overhead, difference)| Some((overhead?, difference?)))
            .unzip()
    };
    let (overheads, macros) = both(order.units(by_round), order.units(&differences));
    // In the order of time.
    let rests: Vec<f64> = macros
        .iter()
        .zip(&overheads)
        .map(|(difference, overhead)| difference - overhead)
        .collect();
    let a_a = gap.a_a.and_then(|a_a| a_a.interval());
    let own = a_a
        .and_then(|a_a| of_a_a(a_a, gap.margin_ns))
        .into_iter()
        .chain(of_level(&rests));
    let doubts: Vec<Doubt> = doubts.iter().cloned().chain(own).collect();
    let (overheads, macros) = both(
        order.observations(by_round),
        order.observations(&differences),
    );
    let share = ratio_of_means(&overheads, &macros).map(|ratio| {
        let estimand =
            format!("in-situ overhead per request as a share of the macro difference, by {what}s");
        let method = format!("Fieller's theorem on {}", order.observation());
        estimate(ratio, Unit::One, &estimand, &method)
    });
    let parts = Parts {
        explained_share: share,
        lines: lines(rounds),
        in_situ_per_request: estimate(
            in_situ,
            Unit::Ns,
            &format!(
                "{what} over requests of the hook overhead of all calls, less one clock read a call, clipped at the \
                 threshold"
            ),
            &order.method_of_level(),
        ),
        unexplained: estimate(
            unexplained.interval()?,
            Unit::Ns,
            &format!("macro difference minus in-situ overhead per request, by {what}s"),
            &order.method(),
        ),
    };
    gap.agreement(parts, &doubts)
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

//! Holds what was found of delays, blindly, against how long they were: the rule of `probe-user validate truth`.
//!
//! It was fixed before there was any data. `Found` is an equivalence, row by row, and the claim that all rows are found needs
//! no correction: it is wrong no more often than its weakest part. `Missed` is corrected for all rows of a run (Bonferroni),
//! so that of runs with nothing beyond its limit at most one in 20 says it of any row.

use runlog::analysis::Analysis;
use runlog::estimate::Estimate;
use runlog::truth::{Blind, DelayFound, Detectable, Finding, SCHEMA, Seen, Truth};
use stats::distribution::t_quantile;
use stats::power;

use crate::trial::blind::Delay;
use crate::trial::undisturbed::are_sharper;

/// How far off an estimate may be.
#[derive(Clone, Copy)]
struct Allowed {
    /// In any case, ns.
    least_ns: f64,
    /// As a share of the truth.
    share: f64,
    /// The same of what is more than the truth, before it counts as missed.
    share_above: f64,
}

impl Allowed {
    /// How far an estimate of this truth may be off.
    fn tolerance(self, truth: f64) -> f64 {
        self.least_ns.max(self.share * truth)
    }

    /// How far above it an estimate counts as missed.
    fn limit_above(self, truth: f64) -> f64 {
        self.least_ns.max(self.share_above * truth)
    }
}

/// Inside the server nothing but the clock is between a delay and its measurement: two steps of a coarse one.
const IN_SITU: Allowed = Allowed {
    least_ns: 20.0,
    share: 0.03,
    share_above: 0.03,
};
/// End to end a machine adds to a delay: neighbours have emptied caches by its end, and take the CPU sooner from who has used
/// more of it. On two CPUs with three times as much to do that was 2 to 9 %, and it is real. It takes nothing from a delay:
/// what is less is the instrument's fault, as the 13 % that preemption on waking up swallowed under `SCHED_OTHER`.
const MACRO: Allowed = Allowed {
    least_ns: 50.0,
    share: 0.03,
    share_above: 0.1,
};
/// The slope has no unit.
const SLOPE: Allowed = Allowed {
    least_ns: 0.0,
    ..MACRO
};
/// A delay may differ this much from what was asked for: it lasts until a read of the clock ends it.
const AS_ASKED: Allowed = Allowed {
    least_ns: 100.0,
    share: 0.05,
    share_above: 0.05,
};
/// The share of sound runs that may say `missed` of anything.
const FALSE_MISSES: f64 = 0.05;

/// Holds the estimates against the key. `analysis` is of the same run.
pub fn judge(blind: Blind, key: &[Delay], analysis: Analysis) -> Truth {
    let not_usable: Vec<String> = analysis
        .not_usable
        .into_iter()
        .chain(not_as_asked(key))
        .collect();
    let trial = analysis.trial;
    let of_undisturbed = trial.as_deref().is_some_and(are_sharper);
    let (doses, agreement) = match trial.map(|trial| (trial.undisturbed, trial.doses)) {
        Some((Some(undisturbed), _)) if of_undisturbed => {
            (undisturbed.doses, undisturbed.agreement)
        }
        Some((_, doses)) => (doses, analysis.agreement),
        None => (None, None),
    };
    let slope = doses.and_then(|doses| doses.slope);
    let is_probed = analysis.ledger.is_some();
    let layers = if is_probed { 3 } else { 2 };
    let rows = Rows(layers * key.len() + 1);
    let mut blind = blind.arms;
    let delays: Vec<DelayFound> = key
        .iter()
        .filter_map(|delay| {
            let place = blind.iter().position(|arm| arm.arm == delay.arm)?;
            let arm = blind.swap_remove(place);
            let seen = |estimate, measured_ns: Option<f64>, allowed| {
                rows.look(
                    estimate,
                    measured_ns.unwrap_or(delay.asked_ns as f64),
                    allowed,
                )
            };
            Some(DelayFound {
                arm: arm.arm,
                asked_ns: delay.asked_ns,
                is_measured: delay.median_ns.is_some(),
                in_situ: seen(arm.in_situ, delay.median_ns, IN_SITU),
                in_situ_ebpf: is_probed.then(|| seen(arm.in_situ_ebpf, delay.median_ns, IN_SITU)),
                macro_: seen(arm.macro_, delay.in_macro_ns, MACRO),
            })
        })
        .collect();
    let slope = rows.look(slope, 1.0, SLOPE);
    let shortest = delays.first();
    // Of the arm that is most like the one without a delay: a long one varies more.
    let detectable = shortest.and_then(|found| detectable(found.macro_.estimate.as_ref()?));
    let sees_the_shortest = shortest
        .zip(detectable.as_ref())
        .is_some_and(|(shortest, detectable)| detectable.ns <= shortest.macro_.truth);
    let of_layers = delays.iter().flat_map(DelayFound::layers);
    let finding = of_layers
        .map(|(_, seen)| seen.finding)
        .chain([slope.finding])
        .chain((!sees_the_shortest).then_some(Finding::Unresolved))
        .max()
        .unwrap_or(Finding::Unresolved);
    let withheld = agreement.map(|agreement| agreement.withheld);
    Truth {
        schema: SCHEMA.to_owned(),
        finding,
        holds: finding == Finding::Found && analysis.cut_short.is_none() && not_usable.is_empty(),
        cut_short: analysis.cut_short,
        warnings: (analysis.warnings.into_iter())
            .chain(withheld.unwrap_or_default())
            .filter(|reason| !not_usable.contains(reason))
            .collect(),
        not_usable,
        delays,
        slope,
        detectable,
        ledger: analysis.ledger,
        environment: analysis.environment,
        placement: analysis.placement,
    }
}

/// Delays that did not last as long as they should.
fn not_as_asked(key: &[Delay]) -> impl Iterator<Item = String> + '_ {
    key.iter().filter_map(|delay| {
        let asked_ns = delay.asked_ns as f64;
        let lasted_ns = delay.median_ns?;
        let is_off = (lasted_ns - asked_ns).abs() > AS_ASKED.tolerance(asked_ns);
        is_off.then(|| {
            format!(
                "a delay of {asked_ns:.0} ns lasted {lasted_ns:.0} ns by what was measured in front of the hook: one of the two is wrong"
            )
        })
    })
}

/// So many rows are looked at together.
#[derive(Clone, Copy)]
struct Rows(usize);

impl Rows {
    fn look(self, estimate: Option<Estimate>, truth: f64, allowed: Allowed) -> Seen {
        let tolerance = allowed.tolerance(truth);
        let limit = allowed.limit_above(truth);
        let finding = estimate.as_ref().map_or(Finding::Unresolved, |estimate| {
            let [low, high] = estimate.ci95;
            let off = estimate.estimate - truth;
            let beyond = (off - limit).max(-off - tolerance);
            let half_width = self.half_width(estimate);
            if low > 0.0 && truth - tolerance <= low && high <= truth + tolerance {
                Finding::Found
            } else if half_width.is_some_and(|half_width| beyond > half_width) {
                Finding::Missed
            } else {
                Finding::Unresolved
            }
        });
        Seen {
            truth,
            tolerance,
            limit,
            estimate,
            finding,
        }
    }

    /// Half of the interval that is wide enough for all rows together.
    fn half_width(self, estimate: &Estimate) -> Option<f64> {
        let (error, degrees_of_freedom) = standard_error(estimate)?;
        let each = FALSE_MISSES / self.0 as f64;
        Some(error * t_quantile(1.0 - each / 2.0, degrees_of_freedom)?)
    }
}

/// The standard error that an interval was made of, and its degrees of freedom.
fn standard_error(estimate: &Estimate) -> Option<(f64, f64)> {
    let [low, high] = estimate.ci95;
    let degrees_of_freedom = estimate.blocks.checked_sub(1)? as f64;
    let error = (high - low) / 2.0 / t_quantile(0.975, degrees_of_freedom)?;
    Some((error, degrees_of_freedom))
}

/// The smallest delay that a run like this one would detect. It is not scaled to more requests: servers would not be more.
fn detectable(found: &Estimate) -> Option<Detectable> {
    let (error_ns, degrees_of_freedom) = standard_error(found)?;
    let in_errors = power::detectable_in_errors(degrees_of_freedom)?;
    Some(Detectable {
        ns: in_errors * error_ns,
        power: power::POWER,
        method: format!(
            "{in_errors:.2} standard errors of the shortest delay's macro difference, Student's t with \
             {degrees_of_freedom} degrees of freedom"
        ),
    })
}

#[cfg(test)]
mod tests;

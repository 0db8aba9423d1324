//! The method of blocks: t on block values, and draws of whole blocks for quantiles and ranks.

use std::collections::BTreeMap;

use runlog::comparison::{BeyondMeans, BlockFigures, Effect, QuantileShift, Test};
use runlog::estimate::{Estimate, Unit};
use stats::bootstrap::{Blocks, Pairing, Plan, cliffs_delta_interval, quantile_shifts};
use stats::counted::Split;
use stats::coverage::simulated_coverage;
use stats::dependence::{effective_size_by_blocks, lag1_autocorrelation, lag1_within};
use stats::power::{detectable_in_errors, required_blocks};
use stats::ranks::mann_whitney;
use stats::t_test::{TTest, paired, welch};
use stats::{Counted, Moments, Trim};

use super::by_requests::test;
use super::{Block, Origin, RecordedArm};
use crate::estimate;

/// The median, whose shift is that of a typical request.
const MEDIAN: f64 = 0.5;
/// Quantiles whose shifts are reported.
pub const QUANTILES: [f64; 4] = [MEDIAN, 0.9, 0.99, 0.999];

const WELCH: &str = "Welch's t on block values";
const PAIRED: &str = "Student's t on differences of block values, paired by round";

/// What the treatment's blocks have more than the control's, by a value of each block: how differences of all values of blocks
/// are estimated, with their intervals. Blocks at the same position belong together where they are paired.
fn difference(
    control: &[f64],
    treatment: &[f64],
    is_paired: bool,
) -> (&'static str, Option<TTest>) {
    if is_paired {
        let pairs = control.iter().zip(treatment);
        let differences: Vec<f64> = pairs.map(|(before, after)| after - before).collect();
        return (PAIRED, paired(&differences));
    }
    let both = Moments::of(control).zip(Moments::of(treatment));
    let outcome = both.and_then(|(control, treatment)| welch(&control, &treatment));
    (WELCH, outcome)
}

/// A value of each block.
pub fn values(blocks: &[Block], of: impl Fn(&Counted) -> Option<f64>) -> Vec<f64> {
    let blocks = blocks.iter().map(|block| block.times.counted());
    blocks.filter_map(|times| of(&times)).collect()
}

fn bodies(arm: &RecordedArm, threshold_ns: f64) -> Vec<f64> {
    values(&arm.blocks, |times| Some(times.split(threshold_ns)?.body))
}

/// What there is to say of an arm's blocks.
pub fn figures(arm: &RecordedArm, threshold_ns: f64, scale: f64) -> Option<BlockFigures> {
    let bodies = bodies(arm, threshold_ns);
    let lengths = || arm.blocks.iter().map(|block| block.times.count());
    let in_order = arm.blocks.iter().map(|block| block.times.in_order());
    let means = values(&arm.blocks, |times| times.mean(Trim::NONE));
    Some(BlockFigures {
        count: bodies.len(),
        requests: [lengths().min()?, lengths().max()?],
        sd: Moments::of(&bodies)?.sd() * scale,
        lag1: lag1_autocorrelation(&bodies),
        requests_lag1: in_order.collect::<Option<Vec<_>>>().and_then(lag1_within),
        effective_n: effective_size_by_blocks(&arm.counted().moments()?, &means),
    })
}

/// The blocks of the second half against those of the first.
pub fn halves(arm: &RecordedArm, threshold_ns: f64, scale: f64) -> Option<Test> {
    let bodies = bodies(arm, threshold_ns);
    let (first, second) = bodies.split_at(bodies.len() / 2);
    let (name, outcome) = difference(first, second, false);
    Some(test(name, &outcome?, scale))
}

/// Two arms' blocks: those of common rounds where they alternated in one run, else all.
#[derive(Debug)]
pub struct Pair {
    control: Blocks,
    treatment: Blocks,
    /// Whether blocks at the same position belong together.
    pub is_paired: bool,
}

impl Pair {
    /// Brings the blocks of two arms together.
    pub fn new(control: &RecordedArm, treatment: &RecordedArm) -> Self {
        let is_paired = control.origin == treatment.origin
            && matches!(control.origin, Origin::Run { rounds: true, .. });
        let (control, treatment): (Vec<&Block>, Vec<&Block>) = if is_paired {
            let treatment = treatment.blocks.iter();
            let by_round: BTreeMap<u32, &Block> =
                treatment.map(|block| (block.round, block)).collect();
            let control = control.blocks.iter();
            control
                .filter_map(|block| Some((block, *by_round.get(&block.round)?)))
                .unzip()
        } else {
            let [control, treatment] = [control, treatment].map(|arm| arm.blocks.iter().collect());
            (control, treatment)
        };
        let [control, treatment] = [control, treatment].map(|blocks| {
            Blocks::new(
                blocks
                    .iter()
                    .map(|block| block.times.counted().into_owned()),
            )
        });
        Self {
            control,
            treatment,
            is_paired,
        }
    }

    /// Blocks of either arm.
    pub fn counts(&self) -> [usize; 2] {
        [self.control.count(), self.treatment.count()]
    }

    fn smaller(&self) -> usize {
        self.control.count().min(self.treatment.count())
    }

    /// The blocks of both arms, split at the threshold.
    pub fn split(&self, threshold_ns: f64) -> Splits {
        let arms = [&self.control, &self.treatment].map(|arm| {
            let blocks = arm.each().iter();
            blocks
                .filter_map(|times| times.split(threshold_ns))
                .collect()
        });
        Splits {
            arms,
            is_paired: self.is_paired,
        }
    }

    /// All that is no difference of means. `bodies` are those of the blocks of both arms, `outcome` is their test.
    pub fn beyond_means(
        &self,
        [control_bodies, treatment_bodies]: &[Vec<f64>; 2],
        outcome: Option<&TTest>,
        unit: Unit,
        scale: f64,
    ) -> Option<BeyondMeans> {
        let plan = Plan::default();
        let (pairing, method) = if self.is_paired {
            (Pairing::Rounds, "bootstrap of rounds, expanded percentiles")
        } else {
            (Pairing::Apart, "bootstrap of blocks, expanded percentiles")
        };
        let (control, treatment) = (&self.control, &self.treatment);
        let shifts = quantile_shifts(control, treatment, &QUANTILES, pairing, &plan);
        let smaller = self.smaller();
        let requests = control.values().count().min(treatment.values().count());
        let per_block = requests / smaller.max(1);
        let quantile_shifts = QUANTILES.into_iter().zip(shifts).map(|(quantile, shift)| {
            let estimand = format!("difference of the {quantile} quantiles of response times");
            QuantileShift {
                quantile,
                shift: shift.map(|shift| estimate(shift.scaled(scale), unit, &estimand, method)),
                simulated_coverage: simulated_coverage(quantile, smaller, per_block),
            }
        });
        let delta = cliffs_delta_interval(control, treatment, pairing, &plan);
        let ranks = mann_whitney(control_bodies, treatment_bodies)?;
        let detectable = outcome.and_then(|outcome| {
            Some(detectable_in_errors(outcome.degrees_of_freedom)? * outcome.standard_error)
        });
        // The standard error falls with the root of the number of blocks, whatever it is made of.
        let blocks_to_detect = outcome.and_then(|outcome| {
            let sd = outcome.standard_error * (smaller as f64).sqrt();
            required_blocks(sd, outcome.difference)
        });
        Some(BeyondMeans {
            quantile_shifts: quantile_shifts.collect(),
            cliffs_delta: delta.map(|delta| {
                let estimand = "Cliff's delta of response times, treatment over baseline";
                estimate(delta, Unit::One, estimand, method)
            }),
            mann_whitney_u: ranks.u,
            mann_whitney_p: ranks.p,
            minimum_detectable_effect: detectable.map(|effect| effect * scale),
            blocks_to_detect_difference: blocks_to_detect,
        })
    }
}

/// The blocks of two arms, each split at the threshold.
#[derive(Debug)]
pub struct Splits {
    arms: [Vec<Split>; 2],
    is_paired: bool,
}

impl Splits {
    /// A part of each block.
    pub fn part(&self, part: fn(&Split) -> f64) -> [Vec<f64>; 2] {
        self.arms
            .each_ref()
            .map(|blocks| blocks.iter().map(part).collect())
    }

    /// Name and outcome of the test of a part.
    pub fn test(&self, part: fn(&Split) -> f64) -> (&'static str, Option<TTest>) {
        let [control, treatment] = self.part(part);
        difference(&control, &treatment, self.is_paired)
    }

    /// What the treatment adds; `typical` is the shift of the median.
    pub fn effect(&self, typical: Option<Estimate>, unit: Unit, scale: f64) -> Effect {
        let blocks = self.arms.each_ref().map(Vec::len);
        let of = |part: fn(&Split) -> f64, unit, scale, estimand: &str| {
            let (name, outcome) = self.test(part);
            let interval = outcome?.interval(blocks[0].min(blocks[1]))?;
            Some(estimate(interval.scaled(scale), unit, estimand, name))
        };
        Effect {
            typical,
            body: of(
                |split| split.body,
                unit,
                scale,
                "difference of means of min(response time, threshold)",
            ),
            tail: of(
                |split| split.tail,
                unit,
                scale,
                "difference of means of what response times have above the threshold",
            ),
            mean: of(
                |split| split.body + split.tail,
                unit,
                scale,
                "difference of mean response times, body and tail",
            ),
            share_above: of(
                |split| split.share_above,
                Unit::One,
                1.0,
                "difference of the shares of response times above the threshold",
            ),
        }
    }
}

/// The shift of the median.
pub fn typical(beyond: &BeyondMeans) -> Option<Estimate> {
    let mut shifts = beyond.quantile_shifts.iter();
    let of_median = shifts.find(|shift| shift.quantile.to_bits() == MEDIAN.to_bits())?;
    of_median.shift.clone()
}

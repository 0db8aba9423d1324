//! The method of blocks: t on block means, and draws of whole blocks for all that is no mean.

use std::collections::BTreeMap;

use runlog::comparison::{BeyondMeans, BlockFigures, QuantileShift, Test};
use runlog::estimate::Unit;
use stats::bootstrap::{Blocks, Pairing, Plan, cliffs_delta_interval, quantile_shifts};
use stats::coverage::simulated_coverage;
use stats::dependence::{effective_size_by_blocks, lag1_autocorrelation, lag1_within};
use stats::power::{Aim, Pilot, detectable_in_errors};
use stats::ranks::mann_whitney;
use stats::t_test::{TTest, paired, welch};
use stats::{Moments, Trim};

use super::by_requests::test;
use super::{Block, Origin, RecordedArm};
use crate::estimate;

/// Quantiles whose shifts are reported.
pub const QUANTILES: [f64; 4] = [0.5, 0.9, 0.99, 0.999];

const WELCH: &str = "Welch's t on block means";
const PAIRED: &str = "Student's t on differences of block means, paired by round";

/// Block means of an arm.
pub fn means(blocks: &[Block], trim: Trim) -> Vec<f64> {
    let means = blocks
        .iter()
        .map(|block| trim.mean(&mut block.values_ns.clone()));
    means.flatten().collect()
}

/// What there is to say of an arm's blocks.
pub fn figures(arm: &RecordedArm, trim: Trim, scale: f64) -> Option<BlockFigures> {
    let means = means(&arm.blocks, trim);
    let lengths = || arm.blocks.iter().map(|block| block.values_ns.len());
    let is_ordered = arm.origin != Origin::HdrLog;
    let stretches = arm.blocks.iter().map(|block| block.values_ns.as_slice());
    Some(BlockFigures {
        count: means.len(),
        requests: [lengths().min()?, lengths().max()?],
        sd: Moments::of(&means)?.sd() * scale,
        lag1: lag1_autocorrelation(&means),
        requests_lag1: is_ordered.then(|| lag1_within(stretches)).flatten(),
        effective_n: effective_size_by_blocks(
            &Moments::of(&arm.values_ns())?,
            &self::means(&arm.blocks, Trim::NONE),
        ),
    })
}

/// The blocks of the second half against those of the first.
pub fn halves(arm: &RecordedArm, trim: Trim, scale: f64) -> Option<Test> {
    let means = means(&arm.blocks, trim);
    let (first, second) = means.split_at(means.len() / 2);
    let outcome = welch(&Moments::of(first)?, &Moments::of(second)?)?;
    Some(test(WELCH, &outcome, scale))
}

/// Two arms' blocks: those of common rounds where they alternated in one run, else all.
#[derive(Debug)]
pub struct Pair<'a> {
    control: Vec<&'a Block>,
    treatment: Vec<&'a Block>,
    /// Whether blocks at the same position belong together.
    pub is_paired: bool,
}

impl<'a> Pair<'a> {
    /// Brings the blocks of two arms together.
    pub fn new(control: &'a RecordedArm, treatment: &'a RecordedArm) -> Self {
        let is_paired = control.origin == treatment.origin
            && matches!(control.origin, Origin::Run { rounds: true, .. });
        if !is_paired {
            return Self {
                control: control.blocks.iter().collect(),
                treatment: treatment.blocks.iter().collect(),
                is_paired,
            };
        }
        let by_round: BTreeMap<u32, &Block> = treatment
            .blocks
            .iter()
            .map(|block| (block.round, block))
            .collect();
        let (control, treatment) = control
            .blocks
            .iter()
            .filter_map(|block| Some((block, *by_round.get(&block.round)?)))
            .unzip();
        Self {
            control,
            treatment,
            is_paired,
        }
    }

    /// Blocks of either arm.
    pub fn counts(&self) -> [usize; 2] {
        [self.control.len(), self.treatment.len()]
    }

    fn means(&self, trim: Trim) -> [Vec<f64>; 2] {
        [&self.control, &self.treatment].map(|blocks| {
            let means = blocks
                .iter()
                .map(|block| trim.mean(&mut block.values_ns.clone()));
            means.flatten().collect()
        })
    }

    /// Name and outcome of the t-test.
    pub fn t_test(&self, trim: Trim) -> (&'static str, Option<TTest>) {
        let [control, treatment] = self.means(trim);
        if self.is_paired {
            let pairs = control.iter().zip(&treatment);
            let differences: Vec<f64> = pairs.map(|(before, after)| after - before).collect();
            return (PAIRED, paired(&differences));
        }
        let both = Moments::of(&control).zip(Moments::of(&treatment));
        (
            WELCH,
            both.and_then(|(control, treatment)| welch(&control, &treatment)),
        )
    }

    /// All that is no difference of means. `outcome` is that of the t-test.
    pub fn beyond_means(
        &self,
        outcome: Option<&TTest>,
        trim: Trim,
        unit: Unit,
        scale: f64,
    ) -> Option<BeyondMeans> {
        let plan = Plan::default();
        let pairing = if self.is_paired {
            Pairing::Rounds
        } else {
            Pairing::Apart
        };
        let blocks =
            |blocks: &[&Block]| Blocks::new(blocks.iter().map(|block| block.values_ns.clone()));
        let (control, treatment) = (blocks(&self.control), blocks(&self.treatment));
        let method = if self.is_paired {
            "bootstrap of rounds, expanded percentiles"
        } else {
            "bootstrap of blocks, expanded percentiles"
        };
        let shifts = quantile_shifts(&control, &treatment, &QUANTILES, pairing, &plan);
        let smaller = control.count().min(treatment.count());
        let per_block = control.values().len().min(treatment.values().len()) / smaller.max(1);
        let quantile_shifts = QUANTILES.into_iter().zip(shifts).map(|(quantile, shift)| {
            let estimand = format!("difference of the {quantile} quantiles of response times");
            QuantileShift {
                quantile,
                shift: shift.map(|shift| estimate(shift.scaled(scale), unit, &estimand, method)),
                simulated_coverage: simulated_coverage(quantile, smaller, per_block),
            }
        });
        let delta = cliffs_delta_interval(&control, &treatment, pairing, &plan);
        let [control_means, treatment_means] = self.means(trim);
        let ranks = mann_whitney(&control_means, &treatment_means)?;
        let detectable = outcome.and_then(|outcome| {
            Some(detectable_in_errors(outcome.degrees_of_freedom)? * outcome.standard_error)
        });
        // The standard error falls with the root of the number of blocks, whatever it is made of.
        let blocks_to_detect = outcome.and_then(|outcome| {
            let pilot = Pilot {
                count: smaller,
                standard_error: outcome.standard_error,
                degrees_of_freedom: outcome.degrees_of_freedom,
            };
            pilot.required(Aim::Detect(outcome.difference))
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

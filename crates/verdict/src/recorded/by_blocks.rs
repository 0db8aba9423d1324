//! The method of blocks: t on block values, and draws of whole blocks for quantiles and ranks.

use std::borrow::Cow;
use std::collections::BTreeSet;

use runlog::Order as Kind;
use runlog::comparison::{BeyondMeans, BlockFigures, Effect, QuantileShift, Test};
use runlog::estimate::Unit;
use stats::bootstrap::{Blocks, Pairing, Plan, cliffs_delta_interval, quantile_shifts};
use stats::coverage::simulated_coverage;
use stats::dependence::{effective_size_by_blocks, lag1_autocorrelation, lag1_within};
use stats::power::{Aim, Pilot, detectable_in_errors};
use stats::ranks::mann_whitney;
use stats::t_test::TTest;
use stats::{Counted, Location, Moments, Trim};

use super::by_requests::test;
use super::{Block, Origin, RecordedArm};
use crate::effect::{Value, effect, part};
use crate::estimate;
use crate::in_situ::set;
use crate::order::Order;

/// The median, which a typical request has.
const MEDIAN: f64 = 0.5;
/// Quantiles whose shifts are reported.
pub const QUANTILES: [f64; 4] = [MEDIAN, 0.9, 0.99, 0.999];

/// A value of each block.
pub fn values(blocks: &[Block], of: impl Fn(&Counted) -> Option<f64>) -> Vec<f64> {
    let blocks = blocks.iter().map(|block| block.times.counted());
    blocks.filter_map(|times| of(&times)).collect()
}

fn bodies(blocks: &[Block], threshold_ns: f64) -> Vec<f64> {
    values(blocks, |times| Some(times.split(threshold_ns)?.body))
}

/// What there is to say of an arm's blocks.
pub fn figures(arm: &RecordedArm, threshold_ns: f64, scale: f64) -> Option<BlockFigures> {
    let units = arm.units();
    let in_time = bodies(&arm.blocks, threshold_ns);
    let bodies = bodies(&units, threshold_ns);
    let lengths = || units.iter().map(|block| block.times.count());
    let in_order = units.iter().map(|block| block.times.in_order());
    let means = values(&units, |times| times.mean(Trim::NONE));
    Some(BlockFigures {
        count: bodies.len(),
        requests: [lengths().min()?, lengths().max()?],
        sd: Moments::of(&bodies)?.sd() * scale,
        lag1: lag1_autocorrelation(&in_time),
        requests_lag1: in_order.collect::<Option<Vec<_>>>().and_then(lag1_within),
        effective_n: effective_size_by_blocks(&arm.counted().moments()?, &means),
    })
}

/// The blocks of the second half against those of the first.
pub fn halves(arm: &RecordedArm, threshold_ns: f64, scale: f64) -> Option<Test> {
    // In the order of time: either half has blocks of all servers.
    let bodies = bodies(&arm.blocks, threshold_ns);
    let (first, second) = bodies.split_at(bodies.len() / 2);
    let outcome = Location::of(second)?.minus(Location::of(first)?).test()?;
    Some(test("Yuen's t on blocks", &outcome, scale))
}

/// Two arms' blocks: those of common rounds where they alternated in one run, else all.
#[derive(Debug)]
pub struct Pair {
    control: Blocks,
    treatment: Blocks,
    /// What the blocks of either arm come to; by round where they are paired.
    values: [Vec<Option<Value>>; 2],
    /// How they are compared, as in the run that they are of.
    order: Order,
    /// Whether blocks of one round belong together.
    pub is_paired: bool,
}

impl Pair {
    /// Brings the blocks of two arms together.
    pub fn new(control: &RecordedArm, treatment: &RecordedArm, threshold_ns: f64) -> Self {
        let arms = [control, treatment];
        let is_of_one_run = control.origin == treatment.origin;
        let (kind, servers) = match control.origin {
            Origin::Run { order, .. } if is_of_one_run => (order, control.servers()),
            _ => (Kind::Sequential, 1),
        };
        // Blocks of a duet that ran at once are a round; its sides are in the interval.
        let kind = if kind == Kind::Duet { Kind::Rmit } else { kind };
        let is_paired = kind != Kind::Sequential;
        let in_common = |units: [Cow<'_, [Block]>; 2]| {
            let rounds = units.each_ref().map(|blocks| {
                let rounds = blocks.iter().map(|block| block.round);
                rounds.collect::<BTreeSet<u32>>()
            });
            units.map(|blocks| {
                let is_wanted = |block: &&Block| {
                    !is_paired || rounds.iter().all(|rounds| rounds.contains(&block.round))
                };
                let blocks = blocks.iter().filter(is_wanted);
                Blocks::new(blocks.map(|block| block.times.counted().into_owned()))
            })
        };
        let [control, treatment] = in_common(arms.map(RecordedArm::units));
        let values = |arm: &RecordedArm| {
            let blocks = if is_of_one_run {
                Cow::Borrowed(arm.blocks.as_slice())
            } else {
                arm.units()
            };
            let mut by_round = Vec::new();
            for (place, block) in blocks.iter().enumerate() {
                let times = block.times.counted();
                let of = times.split(threshold_ns).zip(times.quantile(MEDIAN));
                let place = if is_of_one_run {
                    block.round as usize
                } else {
                    place
                };
                let of = of.map(|(split, median)| Value { split, median });
                set(&mut by_round, place, of);
            }
            by_round
        };
        Self {
            control,
            treatment,
            values: arms.map(values),
            order: Order::new(kind, servers as usize),
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

    /// Name and outcome of the test of the mean cost's body.
    pub fn test(&self) -> (String, Option<TTest>) {
        let [control, treatment] = self.values.each_ref().map(|of| part(of, Value::body));
        let location = self.order.location(&control, &treatment);
        (
            self.order.method(),
            location.and_then(|location| location.test()),
        )
    }

    /// What the treatment adds.
    pub fn effect(&self, unit: Unit, scale: f64) -> Effect {
        let arms = self.values.each_ref().map(Vec::as_slice);
        effect(self.order, arms, unit, scale, "")
    }

    /// All that is no difference of means; `outcome` is the test of bodies.
    pub fn beyond_means(
        &self,
        threshold_ns: f64,
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
        let bodies = |blocks: &Blocks| -> Vec<f64> {
            let splits = blocks.each().iter().map(|times| times.split(threshold_ns));
            splits.flatten().map(|split| split.body).collect()
        };
        let ranks = mann_whitney(&bodies(control), &bodies(treatment))?;
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

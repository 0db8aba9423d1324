//! Rows in, results out: the join of requests to reads, block values, intervals, budget,
//! agreement; doubts and the judgement, with their words; several nodes merged.
//!
//! Pure: it reads what a run has left on disk, and knows neither kernel nor processes.

pub mod agreement;
mod association;
pub mod blocks;
pub mod budget;
pub mod correct;
pub mod doubt;
pub mod effect;
pub mod in_situ;
pub mod join;
pub mod judgement;
pub mod layers;
pub mod logs;
pub mod merge;
pub mod micro;
pub mod micro_blocks;
pub mod order;
pub mod outcome;
pub mod recorded;
mod spectrum;
pub mod threshold;
pub mod trial;
pub mod truth;

use runlog::estimate::{Estimate, Unit};
use stats::Interval;

/// An interval as the run directory has it.
pub fn estimate(interval: Interval, unit: Unit, estimand: &str, method: &str) -> Estimate {
    Estimate {
        estimate: interval.estimate,
        ci95: interval.ci95,
        unit,
        estimand: estimand.to_owned(),
        method: method.to_owned(),
        blocks: interval.blocks,
    }
}

/// The interval of an estimate.
fn as_interval(estimate: &Estimate) -> Interval {
    Interval {
        estimate: estimate.estimate,
        ci95: estimate.ci95,
        blocks: estimate.blocks,
    }
}

/// How intervals of means are made.
pub const UNPAIRED: &str = "Student's t on block means";

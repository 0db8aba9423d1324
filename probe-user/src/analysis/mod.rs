//! From logs to results: block means, intervals, budget.

mod agreement;
mod association;
pub mod blocks;
pub mod budget;
pub mod correct;
pub mod in_situ;
pub mod layers;
pub mod logs;
pub mod recorded;
mod spectrum;

use runlog::estimate::{Estimate, Unit};
use runlog::manifest::Schedule;
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

/// How intervals of differences between arms are made, by the order of the blocks.
pub fn paired(schedule: &Schedule) -> &'static str {
    if schedule.order == "sequential" {
        "Student's t on differences of block means, paired by number although the arms ran one after \
         the other: what drifted between them is in the difference"
    } else {
        PAIRED_BY_ROUND
    }
}

/// How intervals of differences within rounds are made.
pub const PAIRED_BY_ROUND: &str = "Student's t on differences of block means, paired by round";
/// How intervals of means are made.
pub const UNPAIRED: &str = "Student's t on block means";

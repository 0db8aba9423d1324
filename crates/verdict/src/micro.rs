//! The micro layer: from blocks of calls to costs.

use std::collections::BTreeMap;

use runlog::analysis::Micro;
use runlog::estimate::{Estimate, Unit};
use runlog::micro::{Cost, Eviction, Prediction};
use stats::{Interval, mean_interval, paired_difference};

use crate::micro_blocks::{Measured, MicroBlock, Ready, Temperature};
use crate::{UNPAIRED, estimate};

/// Blocks of one rung, by temperature.
pub type Blocks = BTreeMap<Temperature, Vec<MicroBlock>>;

/// How intervals of overheads are made.
const IN_TURN: &str = "Student's t on differences of block means; both reads in turn in each block";
/// A micro figure that is off by no more than this share of the in-situ one predicts it.
const PREDICTS_WITHIN: f64 = 0.1;

/// The name of a temperature.
pub fn name(temperature: Temperature) -> &'static str {
    match temperature {
        Temperature::Hot => "hot",
        Temperature::Cold => "cold",
        Temperature::Flushed => "flushed",
    }
}

/// What is done to calls at a temperature, for estimands.
fn state(temperature: Temperature) -> &'static str {
    match temperature {
        Temperature::Hot => "in a tight loop",
        Temperature::Cold => "L1, L2 and branch predictors filled by others before each call",
        Temperature::Flushed => {
            "L1, L2 and branch predictors filled by others and the hook's memory flushed before each call"
        }
    }
}

/// What a rung costs at a temperature; `before` are the blocks of the rung before. `None` below two
/// blocks.
pub fn cost(blocks: &Blocks, before: Option<&Blocks>, temperature: Temperature) -> Option<Cost> {
    let own = blocks.get(&temperature)?;
    let bare: Vec<f64> = own.iter().map(|block| block.bare_ns).collect();
    let overheads = |blocks: &[MicroBlock]| -> Vec<f64> {
        blocks.iter().map(|block| block.overhead_ns()).collect()
    };
    let state = state(temperature);
    let ns = |interval: Interval, estimand: &str, method| {
        estimate(interval, Unit::Ns, &format!("{estimand}; {state}"), method)
    };
    let increment = before.and_then(|before| {
        let some = |blocks: &[MicroBlock]| -> Vec<Option<f64>> {
            overheads(blocks).into_iter().map(Some).collect()
        };
        let difference = paired_difference(&some(before.get(&temperature)?), &some(own))?;
        Some(ns(
            difference,
            "hook overhead of one read, minus that of the rung before",
            "Student's t on differences of block means, paired by round",
        ))
    });
    Some(Cost {
        bare_read: ns(
            mean_interval(&bare)?,
            "mean of one read of a request, past the hook",
            UNPAIRED,
        ),
        overhead: ns(
            mean_interval(&overheads(own))?,
            "difference of means of one read of a request, through the hook and past it",
            IN_TURN,
        ),
        increment,
    })
}

/// How calls were made cold, in words.
pub fn eviction(ready: &Ready) -> Eviction {
    let l2 = match ready.l2_bytes {
        Some(bytes) => format!("the L2 cache of {} KiB", bytes / 1024),
        None => "an L2 cache whose size the kernel does not say".to_owned(),
    };
    let flushed = match ready.flushed_bytes {
        Some(bytes) => format!(
            "; flushed: before that, each line of the hook's {} KiB of code and data is flushed to memory",
            bytes / 1024
        ),
        None => String::new(),
    };
    Eviction {
        how: format!(
            "cold: before each call (and before its message is sent) {} KiB of data are written, against {l2}, \
             and {} functions with unpredictable branches are run, against the L1 instruction cache and the \
             branch predictors; the last-level cache keeps the hook{flushed}",
            ready.walked_bytes / 1024,
            ready.functions,
        ),
        l2_bytes: ready.l2_bytes,
        walked_bytes: ready.walked_bytes,
        functions: ready.functions,
        flushed_bytes: ready.flushed_bytes,
    }
}

/// The micro layer of a bench, whose one rung is the hook as it is set.
pub fn layer(measured: Result<Measured, String>) -> Micro {
    let measured = match measured {
        Ok(measured) => measured,
        Err(reason) => {
            return Micro {
                missing: Some(reason),
                ..Micro::default()
            };
        }
    };
    let overhead = |temperature| {
        let cost = cost(measured.blocks.first()?, None, temperature)?;
        Some(cost.overhead)
    };
    let mean = || {
        let blocks = measured.blocks.first()?.get(&Temperature::Hot)?;
        let means: Vec<f64> = blocks
            .iter()
            .map(|block| block.mean_overhead_ns())
            .collect();
        Some(estimate(
            mean_interval(&means)?,
            Unit::Ns,
            "difference of means of one read of a request, each call clipped at 100 µs, through the hook and past it; in a tight loop",
            IN_TURN,
        ))
    };
    let hook_overhead = overhead(Temperature::Hot);
    Micro {
        missing: hook_overhead
            .is_none()
            .then(|| "fewer than two blocks".to_owned()),
        hook_overhead,
        hook_overhead_mean: mean(),
        hook_overhead_cold: overhead(Temperature::Cold),
        cold: Some(eviction(&measured.eviction).how),
    }
}

/// How far the micro figure at a temperature is from the in-situ one.
pub fn predict(temperature: Temperature, micro: &Estimate, in_situ: &Estimate) -> Prediction {
    let interval = |estimate: &Estimate| Interval {
        estimate: estimate.estimate,
        ci95: estimate.ci95,
        blocks: estimate.blocks,
    };
    let difference = interval(in_situ).minus(interval(micro));
    let share = difference.estimate / in_situ.estimate;
    Prediction {
        temperature: name(temperature).to_owned(),
        in_situ_minus_micro: estimate(
            difference,
            Unit::Ns,
            "mean in-situ hook overhead of one read minus the micro one",
            "two independent estimates; half-widths are added in quadrature",
        ),
        share,
        predicts: difference.contains(0.0) || share.abs() <= PREDICTS_WITHIN,
    }
}

#[cfg(test)]
mod tests;

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
    let hook_overhead = overhead(Temperature::Hot);
    Micro {
        missing: hook_overhead
            .is_none()
            .then(|| "fewer than two blocks".to_owned()),
        hook_overhead,
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
mod tests {
    use super::*;

    fn blocks(temperature: Temperature, overheads_ns: &[f64]) -> Blocks {
        let block = |overhead_ns: &f64| MicroBlock {
            hooked_ns: 400.0 + overhead_ns,
            bare_ns: 400.0,
        };
        [(temperature, overheads_ns.iter().map(block).collect())].into()
    }

    #[test]
    fn increments_are_paired_by_round() {
        // A drift that both rungs share leaves no trace in what the second adds.
        let lookup = blocks(Temperature::Hot, &[10.0, 110.0, 20.0]);
        let scan = blocks(Temperature::Hot, &[40.0, 140.0, 50.0]);
        let cost = |before| cost(&scan, before, Temperature::Hot).unwrap();
        assert_eq!(cost(None).increment, None);
        let increment = cost(Some(&lookup)).increment.unwrap();
        assert!((increment.estimate - 30.0).abs() < 1e-9);
        assert!((increment.ci95[1] - increment.ci95[0]).abs() < 1e-9);
        assert!((cost(None).overhead.estimate - 230.0 / 3.0).abs() < 1e-9);
        assert!((cost(None).bare_read.estimate - 400.0).abs() < 1e-9);
    }

    #[test]
    fn a_temperature_that_was_not_measured_has_no_cost() {
        let hot = blocks(Temperature::Hot, &[1.0, 2.0]);
        assert_eq!(cost(&hot, None, Temperature::Cold), None);
        assert_eq!(
            cost(&blocks(Temperature::Hot, &[1.0]), None, Temperature::Hot),
            None
        );
    }

    #[test]
    fn a_figure_predicts_when_it_is_near_or_not_told_apart() {
        let ns = |estimate_ns: f64, half_width_ns: f64| {
            let ci95 = [estimate_ns - half_width_ns, estimate_ns + half_width_ns];
            let interval = Interval {
                estimate: estimate_ns,
                ci95,
                blocks: 9,
            };
            estimate(interval, Unit::Ns, "", "")
        };
        let predicts = |micro: &Estimate, in_situ: &Estimate| {
            predict(Temperature::Cold, micro, in_situ).predicts
        };
        assert!(predicts(&ns(292.0, 1.0), &ns(300.0, 1.0)), "off by 3 %");
        assert!(!predicts(&ns(200.0, 1.0), &ns(300.0, 1.0)));
        assert!(
            predicts(&ns(200.0, 150.0), &ns(300.0, 1.0)),
            "not told apart"
        );
        let off = predict(Temperature::Hot, &ns(200.0, 3.0), &ns(300.0, 4.0));
        assert_eq!(
            (off.in_situ_minus_micro.ci95, off.temperature.as_str()),
            ([95.0, 105.0], "hot")
        );
    }
}

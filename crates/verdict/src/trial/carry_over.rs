//! Whether the arm of a request has an effect on other requests of the connection.
//!
//! Arms are drawn independently of each other, so the difference of means over the arm of another request is its effect.

use abi::trial::Arm;
use runlog::trial::{CarryOver, LagEffect};
use stats::multiple::holm;

use crate::trial::block::{Block, Sample};
use crate::trial::design::Design;
use crate::trial::figure::{Figure, Weight};

/// How much later the request comes that is looked at; -1 is the one before, where there can be no effect.
const LAGS: [i32; 10] = [-1, 0, 1, 2, 3, 4, 5, 6, 7, 8];

/// The effects of a contrast in a block, by [`LAGS`], ns.
pub type Effects = [Option<f64>; LAGS.len()];

/// The arms that are held against the rest.
fn contrasts(design: &Design) -> Vec<(String, Vec<bool>)> {
    // Where arms are drawn in runs, neighbours are mostly of one arm.
    if design.trial.run > 1 {
        return Vec::new();
    }
    let arms = |is_in: &dyn Fn(Arm) -> bool| design.arms().map(|(_, arm)| is_in(arm)).collect();
    let hooked = ("hooked".to_owned(), arms(&Arm::is_hooked));
    let spiked = design.spiked();
    let longest = spiked.last().map(|(_, longest)| {
        let of_longest = arms(&|arm| arm == *longest);
        (longest.to_string(), of_longest)
    });
    [Some(hooked), longest].into_iter().flatten().collect()
}

/// The effects in a block: differences of means of min(time, threshold).
pub fn effects(design: &Design, samples: &[Sample], threshold_ns: f64) -> Vec<Effects> {
    let contrasts = contrasts(design);
    // By contrast and lag: count and sum, without and with.
    let mut sums = vec![[[[0.0_f64; 2]; 2]; LAGS.len()]; contrasts.len()];
    for sample in samples {
        let salt = design.trial.salt(sample.connection);
        let body_ns = sample.took_ns.min(threshold_ns);
        for (place, lag) in LAGS.into_iter().enumerate() {
            let cause = sample.ordinal.checked_add_signed(-i64::from(lag));
            let Some(arm) = cause.and_then(|cause| design.trial.arm_of(salt, cause)) else {
                continue;
            };
            for (sums, (_, is_in)) in sums.iter_mut().zip(&contrasts) {
                let [count, sum] = &mut sums[place][usize::from(is_in[arm])];
                *count += 1.0;
                *sum += body_ns;
            }
        }
    }
    let difference = |[[without, sum_without], [with, sum_with]]: [[f64; 2]; 2]| {
        let is_known = without > 0.0 && with > 0.0;
        is_known.then(|| sum_with / with - sum_without / without)
    };
    let of_contrast = |sums: [_; LAGS.len()]| sums.map(difference);
    sums.into_iter().map(of_contrast).collect()
}

/// The effects over processes.
pub fn of_blocks(design: &Design, blocks: &[Block]) -> Vec<CarryOver> {
    let mut contrasts: Vec<CarryOver> = contrasts(design)
        .into_iter()
        .enumerate()
        .map(|(number, (contrast, _))| of_contrast(blocks, number, contrast))
        .collect();
    let mut ps: Vec<&mut f64> = contrasts
        .iter_mut()
        .flat_map(|contrast| &mut contrast.lags)
        .filter_map(|effect| effect.p.as_mut())
        .collect();
    let corrected = holm(&ps.iter().map(|p| **p).collect::<Vec<_>>());
    for (p, corrected) in ps.iter_mut().zip(corrected) {
        **p = corrected;
    }
    contrasts.retain(|contrast| !contrast.lags.is_empty());
    contrasts
}

fn of_contrast(blocks: &[Block], number: usize, contrast: String) -> CarryOver {
    let figure = |value: &dyn Fn(&Effects) -> Option<f64>| {
        Figure::of(blocks, Weight::Requests, |block| {
            value(block.carry_over.get(number)?)
        })
    };
    let lags = LAGS.into_iter().enumerate().filter_map(|(place, lag)| {
        let figure = figure(&|effects| effects[place]);
        let what = match lag {
            -1 => "on the request before (a lead: none is possible)".to_owned(),
            0 => "on the request itself".to_owned(),
            lag => format!("on the request {lag} later"),
        };
        let effect = figure.ns(&format!(
            "effect of the arm of a request {what}: difference of means of min(response time, threshold)"
        ))?;
        let p = figure.p().filter(|_| lag != 0);
        Some(LagEffect { lag, effect, p })
    });
    CarryOver {
        lags: lags.collect(),
        steady: figure(&|effects| {
            let own_and_later = LAGS.into_iter().zip(effects).filter(|(lag, _)| *lag >= 0);
            own_and_later.map(|(_, effect)| *effect).sum()
        })
        .ns("sum of the effects of the arm of a request on itself and the eight after it"),
        contrast,
    }
}

//! What arms differ by: the effects of a trial, end to end and inside the server.

use std::collections::{BTreeMap, BTreeSet};

use runlog::estimate::{Estimate, Unit};
use runlog::trial::{
    ArmEffect, DifferenceBudget, DifferenceLine, Dose, Doses, ProcessEffect, QuantileEffect,
};
use stats::counted::Split;
use stats::spread;

use crate::trial::block::{ArmOfBlock, Block, QUANTILES, Recorded};
use crate::trial::design::Design;
use crate::trial::figure::{Figure, Weight};

/// The segments of a request.
const SEGMENTS: [&str; 3] = ["before_return", "hook", "after_call"];

/// The response times of `off` and of `on` of each server that has any, ns.
pub type TimesByServer = BTreeMap<usize, [Vec<f64>; 2]>;

/// The finest step of the clock in any block, ns.
fn step_ns(blocks: &[Block]) -> f64 {
    let steps = blocks.iter().map(|block| block.step_ns);
    steps.min_by(f64::total_cmp).unwrap_or(1.0)
}

/// A difference of means between two arms.
pub fn difference(
    blocks: &[Block],
    arms: [usize; 2],
    part: impl Fn(&ArmOfBlock) -> Option<f64>,
) -> Figure {
    Figure::of(blocks, Weight::Requests, |block| block.less(arms, &part))
}

/// The same of requests with records.
pub fn recorded_difference(
    blocks: &[Block],
    arms: [usize; 2],
    part: impl Fn(&Recorded) -> f64,
) -> Figure {
    difference(blocks, arms, |arm| arm.recorded.as_ref().map(&part))
}

/// What an arm differs by from `off`.
pub fn of_arm(design: &Design, blocks: &[Block], arm: usize) -> ArmEffect {
    let arms = [arm, design.off];
    let name = design.trial.arms()[arm];
    let of_split = |part: fn(&Split) -> f64| {
        difference(blocks, arms, |arm| arm.split.as_ref().map(part)).with_step(step_ns(blocks))
    };
    let what = |what: &str| format!("{what}, {name} minus off");
    let in_arm = blocks.iter().filter_map(|block| block.arms.get(arm));
    let typical = Figure::of(blocks, Weight::Alike, |block| {
        block.less(arms, ArmOfBlock::median_ns)
    });
    ArmEffect {
        requests: in_arm.map(|arm| arm.requests as u64).sum(),
        typical: typical
            .with_step(step_ns(blocks))
            .ns(&what("difference of median response times")),
        body: of_split(|split| split.body).ns(&what(
            "difference of means of min(response time, threshold)",
        )),
        tail: of_split(|split| split.tail).ns(&what(
            "difference of means of what response times have above the threshold",
        )),
        mean: of_split(|split| split.body + split.tail)
            .ns(&what("difference of mean response times, body and tail")),
        share_above: difference(blocks, arms, |arm| Some(arm.split?.share_above)).estimate(
            Unit::One,
            &what("difference of the shares of response times above the threshold"),
        ),
    }
}

/// What the hook takes in each process that has two blocks.
pub fn by_process(design: &Design, blocks: &[Block]) -> Vec<ProcessEffect> {
    let servers: BTreeSet<usize> = blocks.iter().map(|block| block.server).collect();
    let of_process = |server: usize| {
        let own = blocks.iter().filter(|block| block.server == server);
        let own: Vec<Block> = own.cloned().collect();
        let body = difference(&own, [design.on, design.off], ArmOfBlock::body_ns);
        let in_situ = design.null.and_then(|null| {
            let after_read = |of: &Recorded| of.after_read.mean_ns;
            recorded_difference(&own, [design.on, null], after_read).ns(
                "difference of means of the hook overhead of a request after the read, on minus null, by the \
                 bracket's records",
            )
        });
        Some(ProcessEffect {
            server,
            body: body.ns("difference of means of min(response time, threshold), on minus off")?,
            in_situ,
        })
    };
    servers.into_iter().filter_map(of_process).collect()
}

/// What quantiles of `on` differ by from those of `off`.
pub fn of_quantiles(
    design: &Design,
    blocks: &[Block],
    times: &TimesByServer,
) -> Vec<QuantileEffect> {
    let of_quantile = |(place, (quantile, least)): (usize, (f64, usize))| {
        let by_block = Figure::of(blocks, Weight::Alike, |block| {
            block.less([design.on, design.off], |arm| arm.quantiles_ns[place])
        });
        let figure = if by_block.values.is_empty() {
            let shifts = times
                .values()
                .filter(|[off, on]| off.len().min(on.len()) >= least);
            Figure::pooled(shifts.filter_map(|of| pooled_shift(of, quantile)).collect())
        } else {
            by_block
        };
        let effect = figure.with_step(step_ns(blocks)).ns(&format!(
            "difference of the {quantile} quantiles of the response time, on minus off"
        ))?;
        Some(QuantileEffect { quantile, effect })
    };
    let quantiles = QUANTILES.into_iter().enumerate();
    quantiles.filter_map(of_quantile).collect()
}

fn pooled_shift([off, on]: &[Vec<f64>; 2], quantile: f64) -> Option<f64> {
    let mut all = [off.as_slice(), on].concat();
    all.sort_unstable_by(f64::total_cmp);
    let step = spread::step(&all);
    let of = |times: &[f64]| {
        let mut times = times.to_vec();
        times.sort_unstable_by(f64::total_cmp);
        spread::quantile(&times, step, quantile)
    };
    Some(of(on)? - of(off)?)
}

/// The positive control.
pub fn of_doses(design: &Design, blocks: &[Block]) -> Option<Doses> {
    let spiked = design.spiked();
    // Arms without a delay wait for a read of the clock: it is in what they are compared with.
    let waited_ns =
        |arm: usize| move |block: &Block| block.less([arm, design.on], |of| of.waited_ns);
    let mut arms = Vec::new();
    for (arm, of) in &spiked {
        let figure = difference(blocks, [*arm, design.on], ArmOfBlock::body_ns);
        let waited = Figure::of(blocks, Weight::Requests, waited_ns(*arm));
        let measured_ns = stats::mean(&waited.values);
        arms.push(Dose {
            arm: of.to_string(),
            delay_ns: measured_ns.unwrap_or(of.delay_ns() as f64),
            is_measured: measured_ns.is_some(),
            effect: figure.ns(&format!(
                "difference of means of min(response time, threshold), {of} minus on"
            ))?,
        });
    }
    let slope = Figure::of(blocks, Weight::Requests, |block| {
        // No delay shows in requests that take longer than the threshold without it.
        let share_below = block.arms.get(design.on)?.share_below()?;
        let doses = spiked.iter().map(|(arm, of)| {
            let delay_ns = share_below * waited_ns(*arm)(block).unwrap_or(of.delay_ns() as f64);
            Some([
                delay_ns,
                block.less([*arm, design.on], ArmOfBlock::body_ns)?,
            ])
        });
        slope_of(doses.collect::<Option<Vec<_>>>()?)
    });
    (!arms.is_empty()).then(|| Doses {
        arms,
        slope: slope.estimate(
            Unit::One,
            "ns of response time for one ns of delay of requests below the threshold, by least squares through the origin",
        ),
    })
}

/// The slope of effects over delays: least squares through the origin. Delays of no length have none, as where all requests of a
/// block took longer than the threshold.
pub fn slope_of(doses: impl IntoIterator<Item = [f64; 2]>) -> Option<f64> {
    let (mut products, mut squares) = (0.0, 0.0);
    for [delay_ns, effect_ns] in doses {
        products += delay_ns * effect_ns;
        squares += delay_ns * delay_ns;
    }
    (squares > 0.0).then(|| products / squares)
}

/// Where a request of an arm takes longer than one of `off`.
pub fn budget(design: &Design, blocks: &[Block], arm: usize) -> Option<DifferenceBudget> {
    let name = design.trial.arms()[arm];
    let segments = |part: &dyn Fn([f64; 3]) -> f64, what: &str| -> Option<Estimate> {
        let figure = recorded_difference(blocks, [arm, design.off], |of| part(of.segments_ns));
        figure.ns(&format!(
            "difference of means of {what}, instants clipped at the threshold, {name} minus off"
        ))
    };
    let line = |(place, segment): (usize, &&str)| {
        Some(DifferenceLine {
            name: (*segment).to_owned(),
            difference: segments(&|segments| segments[place], segment)?,
        })
    };
    let recorded = blocks
        .iter()
        .filter_map(|block| block.arms.get(arm)?.recorded);
    Some(DifferenceBudget {
        requests: recorded.map(|of| of.requests as u64).sum(),
        lines: SEGMENTS.iter().enumerate().filter_map(line).collect(),
        total: segments(
            &|[before, hook, after]| before + hook + after,
            "the response time",
        )?,
        outside_call: segments(
            &|[before, _, after]| before + after,
            "the response time without the hook",
        )?,
    })
}

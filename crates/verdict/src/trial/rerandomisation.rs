//! Whether the intervals of one process hold what they say: arms that do the same are drawn again.

use std::collections::BTreeMap;

use runlog::trial::Rerandomisation;
use stats::{mean_interval, redraw};

use crate::trial::block::{Block, Sample};
use crate::trial::design::Design;

/// So many times arms are drawn again.
const DRAWS: usize = 200;

/// What the requests of a block that go past the hook differ by when their two arms are drawn again, ns: bodies, by draw.
/// Empty where there is nothing to draw.
pub fn differences(design: &Design, samples: &[Sample], threshold_ns: f64, seed: u64) -> Vec<f64> {
    let is_past = |sample: &&Sample| !design.trial.arms()[sample.arm].is_hooked();
    let bodies = samples.iter().filter(is_past);
    let bodies: Vec<f64> = bodies
        .map(|sample| sample.took_ns.min(threshold_ns))
        .collect();
    redraw::differences(&bodies, DRAWS, seed)
}

/// How often an interval over the blocks of one process holds 0; `None` if no process has two blocks.
pub fn of_blocks(blocks: &[Block]) -> Option<Rerandomisation> {
    let mut processes = BTreeMap::<usize, Vec<&[f64]>>::new();
    for block in blocks.iter().filter(|block| !block.redrawn_ns.is_empty()) {
        let of = processes.entry(block.server).or_default();
        of.push(&block.redrawn_ns);
    }
    let (mut intervals, mut holding) = (0_u64, 0_u64);
    for blocks in processes.values() {
        for draw in 0..DRAWS {
            let differences: Vec<f64> = blocks.iter().map(|block| block[draw]).collect();
            if let Some(interval) = mean_interval(&differences) {
                intervals += 1;
                holding += u64::from(interval.contains(0.0));
            }
        }
    }
    (intervals > 0).then(|| Rerandomisation {
        draws: DRAWS,
        intervals,
        share_holding: holding as f64 / intervals as f64,
    })
}

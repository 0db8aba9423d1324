//! What plots show of the request log: block means over time, boxes, neighbours.

use runlog::manifest::Manifest;
use stats::moments::quantile_of_sorted;
use verdict::blocks::Blocks;

use super::lag::LagGrid;

/// The request log, summed up.
#[derive(Clone, Debug)]
pub struct Requests {
    /// The blocks that came to their end, in the order of their numbers.
    pub blocks: Vec<BlockMean>,
    /// How many did not.
    pub cut_off: usize,
    /// Every arm, as in the manifest.
    pub arms: Vec<ArmSample>,
    /// Whether the log was cut short.
    pub cut_short: bool,
}

/// One block.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BlockMean {
    /// Number of the block.
    pub block: u32,
    /// Index of the arm.
    pub arm: usize,
    /// Whether the probes were attached.
    pub observed: bool,
    /// Whether all its requests are warm-up: then it is in no estimate.
    pub warmup: bool,
    /// Its middle, in seconds since the first request of the run.
    pub at_s: f64,
    /// Its value, as in estimates; of a block that is all warm-up, the mean of that.
    pub mean_ns: f64,
}

/// Response times of an arm that are in estimates: of blocks that came to their end, probes detached.
#[derive(Clone, Debug, Default)]
pub struct ArmSample {
    /// The arm.
    pub name: String,
    /// Quartiles and whiskers; `None` without a request.
    pub box_: Option<BoxFigures>,
    /// Each beside the next.
    pub lag: LagGrid,
}

/// A box plot, in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BoxFigures {
    /// Values.
    pub n: usize,
    /// Quartiles.
    pub quartiles: [f64; 3],
    /// Mean.
    pub mean: f64,
    /// The farthest values within 1.5 times the distance of the quartiles from them (Tukey).
    pub whiskers: [f64; 2],
    /// Values below and above the whiskers.
    pub beyond: [usize; 2],
}

impl BoxFigures {
    /// Of values in ascending order.
    fn of_sorted(values: &[f64]) -> Option<Self> {
        let (first, last) = (values.first()?, values.last()?);
        let quartile = |quantile| quantile_of_sorted(values, quantile);
        let quartiles = [quartile(0.25)?, quartile(0.5)?, quartile(0.75)?];
        let reach = 1.5 * (quartiles[2] - quartiles[0]);
        let (low, high) = (quartiles[0] - reach, quartiles[2] + reach);
        let below = values.partition_point(|value| *value < low);
        let within = values.partition_point(|value| *value <= high);
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        Some(Self {
            n: values.len(),
            quartiles,
            mean,
            whiskers: [
                *values.get(below).unwrap_or(first),
                *within
                    .checked_sub(1)
                    .and_then(|at| values.get(at))
                    .unwrap_or(last),
            ],
            beyond: [below, values.len() - within],
        })
    }
}

/// Sums up what was read of the request log, with its times.
pub fn requests(log: &Blocks, manifest: &Manifest) -> Requests {
    let mut arms: Vec<ArmSample> = manifest
        .arms
        .iter()
        .map(|arm| ArmSample {
            name: arm.name.clone(),
            ..ArmSample::default()
        })
        .collect();
    let mut values = vec![Vec::<f64>::new(); arms.len()];
    let start_ns = log.blocks.first().map_or(0, |block| block.from_ns);
    let mut blocks = Vec::new();
    let mut cut_off = 0;
    for block in &log.blocks {
        let Some(mean_ns) = block.drawn_ns() else {
            cut_off += 1;
            continue;
        };
        let arm = usize::from(block.cell.arm);
        let middle_ns = block.from_ns.midpoint(block.until_ns);
        blocks.push(BlockMean {
            block: block.number,
            arm,
            observed: block.cell.observed,
            warmup: block.is_warmup(),
            at_s: (middle_ns as f64 - start_ns as f64) / 1e9,
            mean_ns,
        });
        if let Some(sample) = arms.get_mut(arm)
            && !block.cell.observed
        {
            sample.lag.add(&block.times_ns);
            values[arm].extend(block.times_ns.iter().map(|ns| *ns as f64));
        }
    }
    for (sample, values) in arms.iter_mut().zip(&mut values) {
        values.sort_unstable_by(f64::total_cmp);
        sample.box_ = BoxFigures::of_sorted(values);
    }
    Requests {
        blocks,
        cut_off,
        arms,
        cut_short: log.cut_short,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whiskers_end_at_values_within_reach_of_the_box() {
        let mut values: Vec<f64> = (1..=9).map(f64::from).collect();
        values.push(100.0);
        let found = BoxFigures::of_sorted(&values).unwrap();
        // Quartiles by linear interpolation, as NumPy: 3.25, 5.5, 7.75; reach 1.5 * 4.5.
        assert_eq!(format!("{:?}", found.quartiles), "[3.25, 5.5, 7.75]");
        assert_eq!(format!("{:?}", found.whiskers), "[1.0, 9.0]");
        assert_eq!(found.beyond, [0, 1]);
        assert_eq!(BoxFigures::of_sorted(&[]), None);
        let one = BoxFigures::of_sorted(&[7.0]).unwrap();
        assert_eq!(format!("{:?}", one.whiskers), "[7.0, 7.0]");
        assert_eq!(one.beyond, [0, 0]);
    }
}

//! Intervals of quantiles, their shifts and Cliff's delta, by drawing whole blocks again.
//!
//! The blocks of an arm are drawn with replacement, as many as there are, each with all of its values;
//! what is estimated is computed of what was drawn, and the spread over many such draws is the
//! interval. Values within a block keep their dependence. Where neighbouring blocks depend on each
//! other too, runs of blocks are drawn, the last block being followed by the first (the circular block
//! bootstrap of Politis and Romano, 1992).
//!
//! A plain percentile interval of few blocks is too narrow, as the spread of n draws underestimates by
//! (n - 1)/n and normal quantiles take it for known. The ends are therefore read further out, where t
//! quantiles would put them (T. Hesterberg, *What teachers should know about the bootstrap*, 2015,
//! "expanded percentile interval").

use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use crate::counted::Counted;
use crate::distribution::{normal_cdf, t_quantile};
use crate::interval::Interval;
use crate::moments::{position, quantile_of_sorted};
use crate::ranks::larger_minus_smaller;

/// Below this many draws the spread says nothing.
pub const FEWEST_DRAWS: usize = 5;

/// The values of one arm, block by block.
#[derive(Clone, Debug)]
pub struct Blocks {
    blocks: Vec<Counted>,
    /// The values of all blocks.
    all: Counted,
}

impl Blocks {
    /// Takes the values of each block. Blocks without values are left out.
    pub fn new(blocks: impl IntoIterator<Item = Counted>) -> Self {
        let blocks: Vec<Counted> = blocks.into_iter().filter(|b| !b.is_empty()).collect();
        Self {
            all: Counted::merged(&blocks),
            blocks,
        }
    }

    /// How many blocks.
    pub fn count(&self) -> usize {
        self.blocks.len()
    }

    /// The values of each block.
    pub fn each(&self) -> &[Counted] {
        &self.blocks
    }

    /// All values.
    pub fn values(&self) -> &Counted {
        &self.all
    }

    /// The quantile of all values of a draw in which each block occurs `times` times.
    fn quantile(&self, times: &[usize], quantile: f64) -> Option<f64> {
        let drawn = self.drawn(times).map(|(n, block)| n * block.count());
        let (below, share) = position(drawn.sum(), quantile)?;
        let low = self.ordered(times, below);
        if share == 0.0 {
            return Some(low);
        }
        let high = if self.not_above(times, low) > below + 1 {
            low
        } else {
            let above = self
                .drawn(times)
                .filter_map(|(_, block)| block.next_above(low));
            above.min_by(f64::total_cmp)?
        };
        Some(low + share * (high - low))
    }

    /// The value that `before` values of the draw come before. Bisects, as a draw has too many values to
    /// be sorted each time.
    fn ordered(&self, times: &[usize], before: usize) -> f64 {
        let values = &self.all.values;
        let (mut low, mut high) = (0, values.len() - 1);
        while low < high {
            let middle = usize::midpoint(low, high);
            if self.not_above(times, values[middle]) > before {
                high = middle;
            } else {
                low = middle + 1;
            }
        }
        values[low]
    }

    fn not_above(&self, times: &[usize], limit: f64) -> usize {
        self.drawn(times)
            .map(|(n, block)| n * block.not_above(limit))
            .sum()
    }

    fn drawn<'a>(&'a self, times: &'a [usize]) -> impl Iterator<Item = (usize, &'a Counted)> {
        let drawn = times.iter().copied().zip(&self.blocks);
        drawn.filter(|(times, _)| *times > 0)
    }
}

/// Which blocks of two arms belong together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pairing {
    /// Blocks at the same position shared a round, and are drawn together.
    Rounds,
    /// The arms were measured apart from each other, and are drawn so.
    Apart,
}

/// How blocks are drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// How often.
    pub resamples: usize,
    /// How many blocks in a row make one draw. 1 unless neighbouring blocks depend on each other.
    pub run: usize,
    /// Seed of the random numbers: the same seed gives the same interval.
    pub seed: u64,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            resamples: 2000,
            run: 1,
            seed: 1,
        }
    }
}

/// The quantile of an arm with its 95 % interval. `None` with fewer than [`FEWEST_DRAWS`] blocks, or
/// runs of them.
pub fn quantile_interval(arm: &Blocks, quantile: f64, plan: &Plan) -> Option<Interval> {
    let estimate = arm.all.quantile(quantile)?;
    let mut urn = Urn::new(arm.count(), plan);
    let replicates = (0..plan.resamples).filter_map(|_| arm.quantile(urn.draw(), quantile));
    interval(estimate, replicates.collect(), arm.count(), plan)
}

/// The quantile of treatment minus that of control, for each of `quantiles`, with 95 % intervals. All
/// come from the same draws. `None` in place of those that have none.
///
/// # Panics
/// With [`Pairing::Rounds`], if the arms differ in their number of blocks.
pub fn quantile_shifts(
    control: &Blocks,
    treatment: &Blocks,
    quantiles: &[f64],
    pairing: Pairing,
    plan: &Plan,
) -> Vec<Option<Interval>> {
    let mut replicates = vec![Vec::with_capacity(plan.resamples); quantiles.len()];
    draw_both(control, treatment, pairing, plan, |times, other_times| {
        for (quantile, replicates) in quantiles.iter().zip(&mut replicates) {
            let before = control.quantile(times, *quantile);
            let after = treatment.quantile(other_times, *quantile);
            replicates.extend(before.zip(after).map(|(before, after)| after - before));
        }
    });
    let blocks = control.count().min(treatment.count());
    let shifts = quantiles
        .iter()
        .zip(replicates)
        .map(|(quantile, replicates)| {
            let before = control.all.quantile(*quantile)?;
            let after = treatment.all.quantile(*quantile)?;
            interval(after - before, replicates, blocks, plan)
        });
    shifts.collect()
}

/// Cliff's delta with its 95 % interval. `None` with fewer than [`FEWEST_DRAWS`] blocks.
///
/// # Panics
/// With [`Pairing::Rounds`], if the arms differ in their number of blocks.
pub fn cliffs_delta_interval(
    control: &Blocks,
    treatment: &Blocks,
    pairing: Pairing,
    plan: &Plan,
) -> Option<Interval> {
    // A draw's delta is made of those between its blocks, which are counted once.
    let between: Vec<Vec<f64>> = control
        .blocks
        .iter()
        .map(|before| {
            let after = treatment.blocks.iter();
            after
                .map(|after| larger_minus_smaller(before, after) as f64)
                .collect()
        })
        .collect();
    let delta = |times: &[usize], other_times: &[usize]| {
        let (mut balance, mut pairs) = (0.0, 0.0);
        for (i, n) in times.iter().enumerate().filter(|(_, n)| **n > 0) {
            for (j, m) in other_times.iter().enumerate().filter(|(_, m)| **m > 0) {
                let weight = (n * m) as f64;
                balance += weight * between[i][j];
                pairs +=
                    weight * control.blocks[i].count() as f64 * treatment.blocks[j].count() as f64;
            }
        }
        (pairs > 0.0).then(|| balance / pairs)
    };
    let estimate = delta(&vec![1; control.count()], &vec![1; treatment.count()])?;
    let mut replicates = Vec::with_capacity(plan.resamples);
    draw_both(control, treatment, pairing, plan, |times, other_times| {
        replicates.extend(delta(times, other_times));
    });
    let blocks = control.count().min(treatment.count());
    interval(estimate, replicates, blocks, plan)
}

fn draw_both(
    control: &Blocks,
    treatment: &Blocks,
    pairing: Pairing,
    plan: &Plan,
    mut each: impl FnMut(&[usize], &[usize]),
) {
    let mut urn = Urn::new(control.count(), plan);
    match pairing {
        Pairing::Rounds => {
            assert_eq!(control.count(), treatment.count(), "rounds have both arms");
            for _ in 0..plan.resamples {
                let times = urn.draw();
                each(times, times);
            }
        }
        Pairing::Apart => {
            let other = Plan {
                seed: !plan.seed,
                ..*plan
            };
            let mut other_urn = Urn::new(treatment.count(), &other);
            for _ in 0..plan.resamples {
                each(urn.draw(), other_urn.draw());
            }
        }
    }
}

/// Draws blocks with replacement.
struct Urn {
    random: ChaCha8Rng,
    run: usize,
    times: Vec<usize>,
}

impl Urn {
    fn new(blocks: usize, plan: &Plan) -> Self {
        Self {
            random: ChaCha8Rng::seed_from_u64(plan.seed),
            run: plan.run.clamp(1, blocks.max(1)),
            times: vec![0; blocks],
        }
    }

    /// How often each block was drawn; as many draws as there are blocks.
    fn draw(&mut self) -> &[usize] {
        let blocks = self.times.len();
        self.times.fill(0);
        let mut left = blocks;
        while left > 0 {
            let first = self.random.random_range(0..blocks);
            let taken = self.run.min(left);
            for offset in 0..taken {
                self.times[(first + offset) % blocks] += 1;
            }
            left -= taken;
        }
        &self.times
    }
}

fn interval(
    estimate: f64,
    mut replicates: Vec<f64>,
    blocks: usize,
    plan: &Plan,
) -> Option<Interval> {
    let draws = blocks / plan.run.max(1);
    if draws < FEWEST_DRAWS {
        return None;
    }
    replicates.sort_unstable_by(f64::total_cmp);
    let n = draws as f64;
    let tail = normal_cdf(-(n / (n - 1.0)).sqrt() * t_quantile(0.975, n - 1.0)?);
    Some(Interval {
        estimate,
        ci95: [
            quantile_of_sorted(&replicates, tail)?,
            quantile_of_sorted(&replicates, 1.0 - tail)?,
        ],
        blocks,
    })
}

#[cfg(test)]
mod tests;

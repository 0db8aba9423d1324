//! Where a series last changes its level, and so where its warm-up ends.

use std::iter;

use rand::SeedableRng as _;
use rand::seq::SliceRandom as _;
use rand_chacha::ChaCha8Rng;

use crate::moments::quantile;
use crate::ranks::{mann_whitney, ranks};

/// A level has this many values at least: one that sticks out is none.
const SHORTEST: usize = 3;
/// A change is one that chance makes this seldom.
const LEVEL: f64 = 0.01;
/// Random orders that the order found is held against,
const ORDERS: usize = 999;
/// of which so many may show a change as clear: with the order found itself they are `LEVEL`.
const MOST_AS_CLEAR: usize = 9;
/// The most that a value may depend on the one before it: beyond, noise and levels cannot be told apart.
const MOST_DEPENDENT: f64 = 0.8;
/// By how many median differences of neighbours one may count, when their dependence is estimated.
const FARTHEST_DIFFERENCE: f64 = 5.0;
/// Below this many values no change is sought.
pub const FEWEST_VALUES: usize = 10;

/// What became of the warm-up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WarmUp {
    /// The series is at its final level from this index on; 0 if it always was.
    Ends(usize),
    /// The level still changes here, beyond half of the series.
    DoesNotEnd(usize),
}

/// The warm-up of a series of block or window means: it ends with the last change of level within the first half. A later one
/// says that it does not end, unless it leads back to a level of the first half: then something disturbed the series between.
pub fn warm_up(values: &[f64]) -> WarmUp {
    let half = values.len() / 2;
    let changes = changes(values);
    let (early, late) = changes.split_at(changes.partition_point(|change| *change <= half));
    let is_back_at = |last: usize| {
        let starts = iter::once(0).chain(early.iter().copied());
        let ends = early.iter().copied().chain([half]);
        let mut levels = starts.zip(ends).map(|(start, end)| &values[start..end]);
        levels.any(|level| {
            level.len() >= FEWEST_VALUES
                && mann_whitney(level, &values[last..]).is_some_and(|test| test.p >= LEVEL)
        })
    };
    match late.last() {
        Some(last) if !is_back_at(*last) => WarmUp::DoesNotEnd(*last),
        _ => WarmUp::Ends(early.last().copied().unwrap_or(0)),
    }
}

/// The indices at which `values` change their level, ascending; none where nothing speaks for a change.
///
/// The clearest change is sought, then those before and behind it, until there is none (binary segmentation: Scott and Knott,
/// *A cluster analysis method for grouping means*, 1974). A change counts if the values in random order show one as clear in
/// less than one case of 100 (a permutation test of their cumulative sum: Antoch and Hušková, *Permutation tests in change
/// point analysis*, 2001). So what passes for chance follows from the values at hand.
///
/// Values enter by their ranks alone: the wildest counts no more than the largest of tame ones.
fn changes(values: &[f64]) -> Vec<usize> {
    let mut changes = Vec::new();
    add_changes(values, 0, inflation(&centred_ranks(values)), &mut changes);
    changes
}

/// Adds the changes of values that come so late in a series.
fn add_changes(values: &[f64], start: usize, inflation: f64, changes: &mut Vec<usize>) {
    if let Some(at) = clearest_change(values, inflation) {
        let (before, behind) = values.split_at(at);
        add_changes(before, start, inflation, changes);
        changes.push(start + at);
        add_changes(behind, start + at, inflation, changes);
    }
}

/// Where `values` change their level most clearly, unless that is as likely chance. What counts as clear grows with
/// `inflation`.
fn clearest_change(values: &[f64], inflation: f64) -> Option<usize> {
    if values.len() < FEWEST_VALUES {
        return None;
    }
    let mut ranks = centred_ranks(values);
    let (at, clearness) = clearest_split(&ranks);
    // Where all values are equal nothing is clear. Sums in another order may differ in their last digits.
    let clear = clearness / inflation * (1.0 - 1e-9);
    let mut random = ChaCha8Rng::seed_from_u64(1);
    let mut as_clear = (0..ORDERS).filter(|_| {
        ranks.shuffle(&mut random);
        clearest_split(&ranks).1 >= clear
    });
    as_clear.nth(MOST_AS_CLEAR).is_none().then_some(at)
}

/// The split that leaves sides of the most different means, and that difference in multiples of what is usual, up to a factor
/// that all orders of the ranks share.
fn clearest_split(ranks: &[f64]) -> (usize, f64) {
    let count = ranks.len();
    let mut sum = 0.0;
    let mut clearest = (0, 0.0);
    for (before, rank) in (1..).zip(&ranks[..count - SHORTEST]) {
        sum += rank;
        let after = count - before;
        let clearness = f64::abs(sum) / (before as f64 * after as f64).sqrt();
        if before >= SHORTEST && clearness > clearest.1 {
            clearest = (before, clearness);
        }
    }
    clearest
}

/// Ranks around their mean; equal values share theirs.
fn centred_ranks(values: &[f64]) -> Vec<f64> {
    let middle = f64::midpoint(values.len() as f64, 1.0);
    let ranks = ranks(values).ranks;
    ranks.iter().map(|rank| rank - middle).collect()
}

/// By how much sums of a first-order autoregressive series vary more than those of the same values in random order.
///
/// Its correlation r is estimated from differences of neighbours, so that levels do not enter it: these have the
/// correlation -(1 - r)/2. A step among values that hardly differ would be a large one: it is cut off.
fn inflation(ranks: &[f64]) -> f64 {
    let differences = ranks.windows(2).map(|w| w[1] - w[0]);
    let sizes: Vec<f64> = differences.clone().map(f64::abs).collect();
    let farthest = FARTHEST_DIFFERENCE * quantile(&sizes, 0.5).unwrap_or(0.0);
    let differences: Vec<f64> = differences.map(|d| d.clamp(-farthest, farthest)).collect();
    let squares: f64 = differences.iter().map(|d| d * d).sum();
    let products: f64 = differences.windows(2).map(|w| w[0] * w[1]).sum();
    if squares == 0.0 {
        return 1.0;
    }
    let r = (1.0 + 2.0 * products / squares).clamp(0.0, MOST_DEPENDENT);
    ((1.0 + r) / (1.0 - r)).sqrt()
}

#[cfg(test)]
mod tests;

//! Where a series changes its level, and where its warm-up ends.

use std::f64::consts::SQRT_2;

use crate::moments::quantile;

/// Shortest stretch between two changes. A single value that sticks out is no level.
const SHORTEST: usize = 3;
/// A change must explain this many times the noise times the logarithm of the series' length. Twice is
/// the Bayesian information criterion for independent normal noise with known variance; the rest is for
/// its being estimated, and for noise with heavier tails.
const PENALTY: f64 = 5.0;
/// The median size of a normal deviate, in standard deviations.
const MEDIAN_SIZE: f64 = 0.6745;
/// How many neighbours to each side tell whether a value sticks out.
const NEIGHBOURS: usize = 3;
/// By how many standard deviations of the noise it then differs from their median, at least.
const STICKS_OUT: f64 = 5.0;
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

/// The indices at which `values` change their level, ascending; none where nothing speaks for a change.
///
/// That division of the series is taken which has the least sum of squares around the levels of its
/// parts plus a penalty for each change (optimal partitioning: Jackson et al., *An algorithm for optimal
/// partitioning of data on an interval*, 2005). The penalty follows the noise, which is estimated from
/// differences of neighbours, so that levels do not enter it, and corrected for first-order dependence.
///
/// Squares make a level of one wild value, however short: such values are taken out before. Of a level at the end it
/// takes more than [`NEIGHBOURS`] values to tell it from them; one at the beginning may be the warm-up.
pub fn change_points(values: &[f64]) -> Vec<usize> {
    if values.len() < FEWEST_VALUES {
        return Vec::new();
    }
    let values = without_outliers(values);
    let penalty = PENALTY * noise_variance(&values) * (values.len() as f64).ln();
    partition(&values, penalty, SHORTEST)
}

/// The series with the median of its neighbours in the place of each value that sticks out (the Hampel identifier: Davies
/// and Gather, *The identification of multiple outliers*, 1993). Levels of more than [`NEIGHBOURS`] values stay.
fn without_outliers(values: &[f64]) -> Vec<f64> {
    let farthest = STICKS_OUT * typical_difference(values) / (MEDIAN_SIZE * SQRT_2);
    let kept = |index: usize| {
        let value = values[index];
        // At the beginning as many to the right as there are to the left; at the end more to the left.
        let end = (index + index.min(NEIGHBOURS) + 1).min(values.len());
        let start = end.saturating_sub(2 * index.min(NEIGHBOURS) + 1);
        let median = quantile(&values[start..end], 0.5).unwrap_or(value);
        if (value - median).abs() > farthest {
            median
        } else {
            value
        }
    };
    (0..values.len()).map(kept).collect()
}

/// The median size of the differences between neighbours: that of a few wild ones does not count.
fn typical_difference(values: &[f64]) -> f64 {
    let sizes: Vec<f64> = values.windows(2).map(|w| (w[1] - w[0]).abs()).collect();
    quantile(&sizes, 0.5).unwrap_or(0.0)
}

/// The warm-up of a series of block or window means: it ends with the last change of level within the
/// first half.
pub fn warm_up(values: &[f64]) -> WarmUp {
    match change_points(values).last() {
        None => WarmUp::Ends(0),
        Some(last) if *last <= values.len() / 2 => WarmUp::Ends(*last),
        Some(last) => WarmUp::DoesNotEnd(*last),
    }
}

/// Optimal partitioning with squared errors around means: `penalty` a change, at least `shortest` values
/// between two changes. Takes time with the square of the length.
pub fn partition(values: &[f64], penalty: f64, shortest: usize) -> Vec<usize> {
    let count = values.len();
    let shortest = shortest.max(1);
    // Around the middle, so that sums of squares lose no digits.
    let middle = quantile(values, 0.5).unwrap_or(0.0);
    let (mut sums, mut squares) = (vec![0.0], vec![0.0]);
    let (mut sum, mut square) = (0.0, 0.0);
    for value in values {
        sum += value - middle;
        square += (value - middle).powi(2);
        sums.push(sum);
        squares.push(square);
    }
    let cost = |from: usize, to: usize| {
        let sum: f64 = sums[to] - sums[from];
        (squares[to] - squares[from] - sum * sum / (to - from) as f64).max(0.0)
    };
    // best[end]: least cost of the values before `end`, and where its last part begins.
    let mut best = vec![(f64::INFINITY, 0); count + 1];
    best[0] = (-penalty, 0);
    for end in shortest..=count {
        for start in 0..=end - shortest {
            let total = best[start].0 + cost(start, end) + penalty;
            if total < best[end].0 {
                best[end] = (total, start);
            }
        }
    }
    let mut changes = Vec::new();
    let mut end = count;
    while end > 0 && best[end].1 > 0 {
        end = best[end].1;
        changes.push(end);
    }
    changes.reverse();
    changes
}

/// The variance that means of stretches of the series have, times their length.
fn noise_variance(values: &[f64]) -> f64 {
    let differences: Vec<f64> = values.windows(2).map(|w| w[1] - w[0]).collect();
    let typical = typical_difference(values);
    let variance = (typical / MEDIAN_SIZE).powi(2);
    // Differences of a first-order autoregressive series have the correlation -(1 - r)/2 and the
    // variance 2 (1 - r) sigma²; means of such a series vary by (1 + r)/(1 - r) sigma² / n. Wild values
    // are cut off, as each spoils two differences.
    let cut: Vec<f64> = differences
        .iter()
        .map(|d| d.clamp(-5.0 * typical, 5.0 * typical))
        .collect();
    let squares: f64 = cut.iter().map(|d| d * d).sum();
    let products: f64 = cut.windows(2).map(|w| w[0] * w[1]).sum();
    let correlation = if squares > 0.0 {
        products / squares
    } else {
        -0.5
    };
    let r = (1.0 + 2.0 * correlation).clamp(0.0, 0.8);
    variance / (2.0 * (1.0 - r)) * (1.0 + r) / (1.0 - r)
}

#[cfg(test)]
mod tests;

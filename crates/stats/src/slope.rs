//! A slope that single wild pairs cannot turn.

use crate::distribution::normal_quantile;
use crate::moments::quantile_of_sorted;

/// Most pairs of values that slopes are formed of: with n pairs n²/2 slopes are sorted. Thin longer
/// streams with [`evenly_spaced`], and say so.
pub const MOST_PAIRS: usize = 4_000;

/// The Theil-Sen slope of y on x.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Slope {
    /// The median of the slopes between all pairs.
    pub slope: f64,
    /// Median of y minus slope times median of x.
    pub intercept: f64,
    /// 95 % interval of the slope, after P. K. Sen, *Estimates of the regression coefficient based on
    /// Kendall's tau*, JASA 63 (1968). It takes the pairs for independent.
    pub ci95: [f64; 2],
    /// Pairs of values that it rests on.
    pub pairs: usize,
}

/// The slope of values in their order, by least squares: how much one is beyond the one before. `None` below two values.
///
/// Of events that come in batches it tells the pace better than the first and the last do: the batch that either of these is a
/// part of has a share of its own in their distance, and next to none in the slope.
pub fn pace(values: impl ExactSizeIterator<Item = f64>) -> Option<f64> {
    let count = values.len() as f64;
    let middle = (count - 1.0) / 2.0;
    let sum: f64 = (0_u32..)
        .zip(values)
        .map(|(place, value)| (f64::from(place) - middle) * value)
        .sum();
    (count >= 2.0).then(|| sum * 12.0 / (count * (count * count - 1.0)))
}

/// The Theil-Sen slope. `None` unless at least two pairs differ in x, or beyond [`MOST_PAIRS`].
///
/// # Panics
/// If the sides differ in length.
pub fn theil_sen(x: &[f64], y: &[f64]) -> Option<Slope> {
    assert_eq!(x.len(), y.len(), "pairs have two sides");
    let count = x.len();
    if count > MOST_PAIRS {
        return None;
    }
    let mut slopes = Vec::with_capacity(count * count / 2);
    for i in 0..count {
        for j in 0..i {
            let run = x[i] - x[j];
            if run != 0.0 {
                slopes.push((y[i] - y[j]) / run);
            }
        }
    }
    slopes.sort_unstable_by(f64::total_cmp);
    let slope = quantile_of_sorted(&slopes, 0.5)?;
    let median = |values: &[f64]| crate::moments::quantile(values, 0.5);
    let n = count as f64;
    let doubt = |k: f64| k * (k - 1.0) * (2.0 * k + 5.0);
    let ties = |values: &[f64]| -> f64 { repeats(values).into_iter().map(doubt).sum() };
    let deviation = ((doubt(n) - ties(x) - ties(y)) / 18.0).sqrt();
    let reach = normal_quantile(0.975) * deviation;
    let last = slopes.len() - 1;
    let rank = |place: f64| {
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "clamped to the indices first"
        )]
        let index = place.round_ties_even().clamp(0.0, last as f64) as usize;
        index
    };
    let total = slopes.len() as f64;
    let low = rank(((total - reach) / 2.0).round_ties_even() - 1.0);
    let high = rank(f64::midpoint(total, reach));
    Some(Slope {
        slope,
        intercept: median(y)? - slope * median(x)?,
        ci95: [slopes[low], slopes[high]],
        pairs: count,
    })
}

/// How often each value occurs that occurs more than once.
fn repeats(values: &[f64]) -> Vec<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    #[allow(clippy::float_cmp, reason = "ties are values that are exactly equal")]
    let groups = sorted.chunk_by(|a, b| a == b);
    groups
        .filter(|group| group.len() > 1)
        .map(|group| group.len() as f64)
        .collect()
}

/// The indices of at most `most` of `count` values, evenly spaced over them, for what cannot be done
/// with all.
pub fn evenly_spaced(count: usize, most: usize) -> impl Iterator<Item = usize> {
    let taken = count.min(most);
    (0..taken).map(move |index| index * count / taken)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pace_is_that_of_a_line_and_nearly_that_of_batches() {
        let line = (0..50).map(|n| 7.0 + 2.5 * f64::from(n));
        assert!((pace(line.collect::<Vec<_>>().into_iter()).unwrap() - 2.5).abs() < 1e-12);
        // 33 values of 128 batches of 16, 400 apart; ends cut a batch.
        let batches: Vec<f64> = (5..2_043).map(|n| f64::from(n / 16) * 400.0).collect();
        let by_ends = (batches[batches.len() - 1] - batches[0]) / (batches.len() - 1) as f64;
        let found = pace(batches.into_iter()).unwrap();
        assert!((found - 25.0).abs() < 0.01, "{found}");
        assert!((by_ends - 25.0).abs() > (found - 25.0).abs());
        assert_eq!(pace([1.0].into_iter()), None);
    }

    #[test]
    fn a_wild_value_does_not_turn_the_slope() {
        let x: Vec<f64> = (0..30).map(f64::from).collect();
        let mut y: Vec<f64> = x.iter().map(|x| 3.0 + 0.5 * x).collect();
        y[29] = 1e9;
        let slope = theil_sen(&x, &y).unwrap();
        assert!((slope.slope - 0.5).abs() < 1e-9);
        assert!((slope.intercept - 3.0).abs() < 1e-6);
        assert_eq!(slope.pairs, 30);
    }

    #[test]
    fn pairs_that_share_their_x_have_no_slope() {
        assert_eq!(theil_sen(&[1.0, 1.0], &[1.0, 2.0]), None);
        assert_eq!(theil_sen(&[], &[]), None);
        let many = vec![0.0; MOST_PAIRS + 1];
        assert_eq!(theil_sen(&many, &many), None);
    }

    #[test]
    fn thinning_is_even_and_complete_where_it_can_be() {
        assert_eq!(evenly_spaced(4, 9).collect::<Vec<_>>(), [0, 1, 2, 3]);
        assert_eq!(evenly_spaced(10, 5).collect::<Vec<_>>(), [0, 2, 4, 6, 8]);
        assert_eq!(evenly_spaced(0, 5).count(), 0);
    }
}

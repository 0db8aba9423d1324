//! Count, mean and variance of values, and quantiles.

/// What the t-tests need to know of a set of values.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Moments {
    /// How many values.
    pub count: usize,
    /// Their mean.
    pub mean: f64,
    /// Their variance, with `count - 1` as divisor.
    pub variance: f64,
}

impl Moments {
    /// The moments of `values`. `None` below two values, which have no variance.
    pub fn of(values: &[f64]) -> Option<Self> {
        Self::of_counts(&values.iter().map(|value| (*value, 1)))
    }

    /// The moments of values, each with how often it occurs.
    pub(crate) fn of_counts(counts: &(impl Iterator<Item = (f64, usize)> + Clone)) -> Option<Self> {
        let count: usize = counts.clone().map(|(_, count)| count).sum();
        if count < 2 {
            return None;
        }
        let all = count as f64;
        // A second look takes the rounding of the sum out of the mean: differences of means count, and
        // may be small beside them.
        let weighted = |(value, count): (f64, usize)| count as f64 * value;
        let rough = counts.clone().map(weighted).sum::<f64>() / all;
        let deviations = |mean: f64| {
            counts
                .clone()
                .map(move |(value, count)| (value - mean, count))
        };
        let mean = rough + deviations(rough).map(weighted).sum::<f64>() / all;
        // The second sum is 0 but for rounding, and takes the rounding of the mean out of the first.
        let squares: f64 = deviations(mean)
            .map(|(of, count)| count as f64 * (of * of))
            .sum();
        let rest: f64 = deviations(mean).map(weighted).sum();
        let variance = (squares - rest * rest / all) / (count - 1) as f64;
        Some(Self {
            count,
            mean,
            variance,
        })
    }

    /// The standard deviation.
    pub fn sd(&self) -> f64 {
        self.variance.sqrt()
    }

    /// The square of the mean's standard error, were the values independent.
    pub fn squared_error(&self) -> f64 {
        self.variance / self.count as f64
    }
}

/// The quantile of ascending values, `quantile` being from 0 to 1: linear between the two nearest
/// values, as `numpy.quantile` does by default. `None` when there are none.
pub fn quantile_of_sorted(sorted: &[f64], quantile: f64) -> Option<f64> {
    let (below, share) = position(sorted.len(), quantile)?;
    let low = sorted[below];
    Some(match sorted.get(below + 1) {
        Some(high) => low + share * (high - low),
        None => low,
    })
}

/// The quantile of values in any order. `None` when there are none.
pub fn quantile(values: &[f64], quantile: f64) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    quantile_of_sorted(&sorted, quantile)
}

/// Where a quantile of `count` values lies: the index of the value below it, and the share of the way
/// to the next.
pub(crate) fn position(count: usize, quantile: f64) -> Option<(usize, f64)> {
    let last = count.checked_sub(1)?;
    let place = quantile.clamp(0.0, 1.0) * last as f64;
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a share of a count, rounded down"
    )]
    let below = (place as usize).min(last);
    Some((below, place - below as f64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_offset_leaves_the_variance_alone() {
        let moments = Moments::of(&[1e9 + 4.0, 1e9 + 7.0, 1e9 + 13.0, 1e9 + 16.0]).unwrap();
        assert_eq!((moments.count, moments.mean), (4, 1e9 + 10.0));
        assert!((moments.variance - 30.0).abs() < 1e-9);
        assert_eq!(Moments::of(&[1.0]), None);
    }

    #[test]
    fn quantiles_lie_between_the_nearest_values() {
        // numpy.quantile([1, 2, 4, 8], q)
        for (q, expected) in [(0.0, 1.0), (0.5, 3.0), (0.9, 6.8), (1.0, 8.0)] {
            assert!((quantile(&[8.0, 1.0, 4.0, 2.0], q).unwrap() - expected).abs() < 1e-12);
        }
        assert_eq!(quantile(&[5.0], 0.99), Some(5.0));
        assert_eq!(quantile(&[], 0.5), None);
    }
}

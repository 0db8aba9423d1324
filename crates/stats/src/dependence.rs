//! How much values that follow each other resemble each other, and what that leaves of their number.

use crate::moments::Moments;
use crate::trim::mean;

/// Correlation of each value with the next, over `values` in the order of time. `None` below three
/// values, or if they do not vary.
pub fn lag1_autocorrelation(values: &[f64]) -> Option<f64> {
    lag1_within(std::iter::once(values))
}

/// The same over several stretches of time, each around its own mean: neighbours of different
/// stretches are no neighbours.
pub fn lag1_within<'a>(stretches: impl IntoIterator<Item = &'a [f64]>) -> Option<f64> {
    let (mut products, mut squares) = (0.0, 0.0);
    for values in stretches {
        if values.len() < 3 {
            continue;
        }
        let mean = mean(values)?;
        squares += values.iter().map(|x| (x - mean).powi(2)).sum::<f64>();
        let pairs = values.windows(2);
        products += pairs.map(|w| (w[0] - mean) * (w[1] - mean)).sum::<f64>();
    }
    (squares > 0.0).then(|| products / squares)
}

/// How many independent values would give a mean as precise as `count` values of a first-order
/// autoregressive process with correlation `lag1`: n (1 - r) / (1 + r). Not less than 1.
pub fn effective_size_ar1(count: usize, lag1: f64) -> f64 {
    (count as f64 * (1.0 - lag1) / (1.0 + lag1)).max(1.0)
}

/// How many independent values would give a mean as precise as the block means show it to be, whatever
/// the dependence: the variance of the values over the squared error of the mean of block means.
/// `None` below two blocks, or if the block means do not vary.
pub fn effective_size_by_blocks(values: &Moments, block_means: &[f64]) -> Option<f64> {
    let blocks = Moments::of(block_means)?;
    (blocks.variance > 0.0).then(|| values.variance / blocks.squared_error())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alternation_is_negative_and_a_drift_positive() {
        // Mean 0; products of neighbours -1 each.
        let alternating = [1.0, -1.0, 1.0, -1.0];
        assert_eq!(lag1_autocorrelation(&alternating), Some(-0.75));
        let drift: Vec<f64> = (0..100).map(f64::from).collect();
        assert!(lag1_autocorrelation(&drift).unwrap() > 0.9);
        assert_eq!(lag1_autocorrelation(&[1.0; 9]), None);
        assert_eq!(lag1_autocorrelation(&[1.0, 2.0]), None);
    }

    #[test]
    fn a_step_between_stretches_is_no_dependence_within() {
        let (low, high) = ([1.0, -1.0, 1.0, -1.0], [101.0, 99.0, 101.0, 99.0]);
        let within = lag1_within([&low[..], &high[..]]);
        assert_eq!(within, Some(-0.75));
        let together: Vec<f64> = low.iter().chain(&high).copied().collect();
        assert!(lag1_autocorrelation(&together).unwrap() > 0.5);
    }

    #[test]
    fn dependence_shrinks_the_effective_size() {
        assert!((effective_size_ar1(3000, 0.5) - 1000.0).abs() < 1e-9);
        assert!((effective_size_ar1(10, 1.0) - 1.0).abs() < 1e-12);
        // Ten blocks of equal means but for one: squared error 0.01 against a variance of 100.
        let mut means = [0.0; 10];
        means[0] = 1.0;
        let values = Moments {
            count: 50_000,
            mean: 0.1,
            variance: 100.0,
        };
        let size = effective_size_by_blocks(&values, &means).unwrap();
        assert!((size - 10_000.0).abs() < 1e-6, "{size}");
    }
}

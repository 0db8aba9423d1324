//! The ratio of two means that were estimated from the same blocks.

use crate::distribution::t_quantile;
use crate::interval::Interval;
use crate::trim::mean;

/// The ratio of the means of two values of each block, with its interval by Fieller's theorem: all ratios
/// ρ for which the mean of `numerator - ρ denominator` is not told from 0.
///
/// E. C. Fieller, *Some problems in interval estimation*, J. R. Stat. Soc. B 16 (1954). `None` below two
/// blocks, or if the denominator's mean is itself not told from 0: then no ratio is too large.
///
/// # Panics
/// If the sides differ in length.
pub fn ratio_of_means(numerator: &[f64], denominator: &[f64]) -> Option<Interval> {
    assert_eq!(numerator.len(), denominator.len(), "pairs have two sides");
    let count = numerator.len();
    if count < 2 {
        return None;
    }
    let (over, under) = (mean(numerator)?, mean(denominator)?);
    let degrees_of_freedom = (count - 1) as f64;
    let critical = t_quantile(0.975, degrees_of_freedom)?.powi(2);
    // Variances and covariance of the means, times the square of t.
    let spread = |left: &[f64], left_mean: f64, right: &[f64], right_mean: f64| {
        let pairs = left.iter().zip(right);
        let sum: f64 = pairs.map(|(l, r)| (l - left_mean) * (r - right_mean)).sum();
        critical * sum / degrees_of_freedom / count as f64
    };
    // Where a ρ² - 2 b ρ + c is not above 0.
    let a = under * under - spread(denominator, under, denominator, under);
    let b = over * under - spread(numerator, over, denominator, under);
    let c = over * over - spread(numerator, over, numerator, over);
    let root = (b * b - a * c).max(0.0).sqrt();
    (a > 0.0).then(|| Interval {
        estimate: over / under,
        ci95: [(b - root) / a, (b + root) / a],
        blocks: count,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::interval::mean_interval;

    const NUMERATOR: [f64; 8] = [310.0, 295.0, 301.0, 322.0, 288.0, 305.0, 299.0, 312.0];
    const DENOMINATOR: [f64; 8] = [420.0, 250.0, 380.0, 510.0, 300.0, 290.0, 440.0, 350.0];

    /// By the theorem itself: at the ends, and nowhere between, the difference is just told from 0.
    #[test]
    fn the_ends_are_where_the_difference_is_just_told_from_0() {
        let interval = ratio_of_means(&NUMERATOR, &DENOMINATOR).unwrap();
        let at = |ratio: f64| {
            let pairs = NUMERATOR.iter().zip(DENOMINATOR);
            let differences: Vec<f64> = pairs.map(|(over, under)| over - ratio * under).collect();
            mean_interval(&differences).unwrap()
        };
        for ratio in interval.ci95 {
            let [low, high] = at(ratio).ci95;
            assert!(low.abs().min(high.abs()) < 1e-9, "{low} {high}");
        }
        assert!(at(interval.estimate).contains(0.0));
        assert!(at(interval.estimate).estimate.abs() < 1e-9);
        assert!(!at(interval.ci95[0] - 0.01).contains(0.0));
        assert!(!at(interval.ci95[1] + 0.01).contains(0.0));
    }

    #[test]
    fn a_denominator_that_may_be_0_bounds_nothing() {
        assert_eq!(ratio_of_means(&[1.0, 1.0, 1.0], &[-1.0, 0.0, 2.0]), None);
        assert_eq!(ratio_of_means(&[1.0], &[2.0]), None);
    }

    #[test]
    fn equal_blocks_have_an_exact_ratio() {
        let interval = ratio_of_means(&[3.0, 3.0, 3.0], &[4.0, 4.0, 4.0]).unwrap();
        assert_eq!((interval.estimate, interval.ci95), (0.75, [0.75, 0.75]));
    }
}

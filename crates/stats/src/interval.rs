//! Confidence intervals: Student's t on block means.

use crate::distribution::t_quantile;
use crate::trim::mean;

/// A point estimate with its two-sided 95 % confidence interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Interval {
    /// The mean over blocks.
    pub estimate: f64,
    /// Lower and upper end.
    pub ci95: [f64; 2],
    /// How many block means, or pairs of them, it rests on.
    pub blocks: usize,
}

impl Interval {
    /// The interval of `self` times `factor`. A negative factor swaps the ends.
    pub fn scaled(self, factor: f64) -> Self {
        let [low, high] = self.ci95.map(|end| end * factor);
        Self {
            estimate: self.estimate * factor,
            ci95: [low.min(high), low.max(high)],
            blocks: self.blocks,
        }
    }

    /// The interval of `self` minus `other`, which was estimated from other data: half-widths add
    /// in quadrature. It rests on the fewer blocks of the two.
    pub fn minus(self, other: Self) -> Self {
        let half_width = self.half_width().hypot(other.half_width());
        let estimate = self.estimate - other.estimate;
        Self {
            estimate,
            ci95: [estimate - half_width, estimate + half_width],
            blocks: self.blocks.min(other.blocks),
        }
    }

    /// Half of the interval's width.
    pub fn half_width(self) -> f64 {
        (self.ci95[1] - self.ci95[0]) / 2.0
    }

    /// Whether `value` lies within the interval, ends included.
    pub fn contains(&self, value: f64) -> bool {
        (self.ci95[0]..=self.ci95[1]).contains(&value)
    }
}

/// How far a 95 % interval reaches to each side of an estimate with this standard error.
pub(crate) fn half_width(standard_error: f64, degrees_of_freedom: f64) -> Option<f64> {
    Some(t_quantile(0.975, degrees_of_freedom)? * standard_error)
}

/// The mean of block means with Student's t interval, `blocks - 1` degrees of freedom.
///
/// `None` below two blocks: one block says nothing about how blocks vary.
pub fn mean_interval(block_means: &[f64]) -> Option<Interval> {
    let count = block_means.len();
    if count < 2 {
        return None;
    }
    let estimate = mean(block_means)?;
    let squares: f64 = block_means.iter().map(|x| (x - estimate).powi(2)).sum();
    let degrees_of_freedom = (count - 1) as f64;
    let standard_error = (squares / degrees_of_freedom / count as f64).sqrt();
    let half_width = half_width(standard_error, degrees_of_freedom)?;
    Some(Interval {
        estimate,
        ci95: [estimate - half_width, estimate + half_width],
        blocks: count,
    })
}

/// The interval of treatment minus control, paired round by round: what drifts over the run falls
/// on both members of a pair and cancels. A round where either block is missing is left out.
pub fn paired_difference(control: &[Option<f64>], treatment: &[Option<f64>]) -> Option<Interval> {
    let differences: Vec<f64> = control
        .iter()
        .zip(treatment)
        .filter_map(|(control, treatment)| Some((*treatment)? - (*control)?))
        .collect();
    mean_interval(&differences)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(left: f64, right: f64) -> bool {
        (left - right).abs() <= 1e-9 * right.abs()
    }

    /// Student's own sleep data (Biometrika 6, 1908, table on p. 20): extra hours of sleep under
    /// two drugs for ten patients. `scipy.stats.ttest_rel(b, a).confidence_interval()` gives
    /// 0.7001142, 2.4598858 for the mean difference of 1.58 hours.
    #[test]
    fn the_paired_interval_of_students_sleep_data() {
        let a = [0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0].map(Some);
        let b = [1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4].map(Some);
        let interval = paired_difference(&a, &b).unwrap();
        assert!(close(interval.estimate, 1.58));
        assert!((interval.ci95[0] - 0.700_114_2).abs() < 1e-6);
        assert!((interval.ci95[1] - 2.459_885_8).abs() < 1e-6);
        assert_eq!(interval.blocks, 10);
    }

    #[test]
    fn the_quantile_of_t_is_the_one_of_the_tables() {
        // Two values at distance 2 have a standard error of 1; t(0.975, 1) = 12.706204736.
        let interval = mean_interval(&[-1.0, 1.0]).unwrap();
        assert!((interval.ci95[1] - 12.706_204_736).abs() < 1e-6);
    }

    #[test]
    fn less_than_two_blocks_have_no_interval() {
        assert_eq!(mean_interval(&[]), None);
        assert_eq!(mean_interval(&[1.0]), None);
        assert_eq!(
            paired_difference(&[Some(1.0), None], &[Some(2.0), Some(3.0)]),
            None
        );
    }

    #[test]
    fn rounds_with_a_missing_block_are_left_out() {
        let control = [Some(1.0), None, Some(1.0), Some(1.0)];
        let treatment = [Some(3.0), Some(9.0), Some(5.0), None];
        let interval = paired_difference(&control, &treatment).unwrap();
        assert_eq!((interval.estimate, interval.blocks), (3.0, 2));
    }

    #[test]
    fn drift_common_to_both_arms_cancels() {
        let drift = |round: usize| 1e6 * round as f64;
        let control: Vec<_> = (0..10).map(|round| Some(drift(round))).collect();
        let treatment: Vec<_> = (0..10).map(|round| Some(drift(round) + 250.0)).collect();
        let interval = paired_difference(&control, &treatment).unwrap();
        assert!(interval.contains(250.0));
        assert!(!interval.contains(249.9) && !interval.contains(250.1));
    }

    #[test]
    fn half_widths_of_independent_estimates_add_in_quadrature() {
        let interval = |estimate, half_width, blocks| Interval {
            estimate,
            ci95: [estimate - half_width, estimate + half_width],
            blocks,
        };
        let difference = interval(10.0, 3.0, 7).minus(interval(4.0, 4.0, 5));
        assert_eq!(difference, interval(6.0, 5.0, 5));
        assert!(close(difference.half_width(), 5.0));
    }

    #[test]
    fn scaling_keeps_the_ends_in_order() {
        let interval = mean_interval(&[1.0, 3.0, 5.0]).unwrap().scaled(-2.0);
        assert!(close(interval.estimate, -6.0));
        assert!(interval.ci95[0] < interval.ci95[1]);
    }
}

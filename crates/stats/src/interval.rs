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

    /// The interval of `self` plus `other`, whatever they have to do with each other: ends are added.
    pub fn plus(self, other: Self) -> Self {
        Self {
            estimate: self.estimate + other.estimate,
            ci95: [self.ci95[0] + other.ci95[0], self.ci95[1] + other.ci95[1]],
            blocks: self.blocks.min(other.blocks),
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

    /// How far from 0 the end lies that is farther from it.
    pub fn farther_end(self) -> f64 {
        self.ci95[1].max(-self.ci95[0])
    }

    /// How far from 0 the end lies that is nearer to it; negative if the interval holds 0.
    pub fn nearer_end(self) -> f64 {
        self.ci95[0].max(-self.ci95[1])
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
mod tests;

//! The location of values, robust against a few bad ones: the trimmed mean, and its standard error by winsorised variance.
//!
//! One bad value in five, on one side, moves neither far. Of values without bad ones the interval is wider than Student's, with 16
//! normal ones 1.17 times, with 96 1.08 times; where one in ten is ten times as far off, half as wide and less.
//!
//! K. K. Yuen, *The two-sample trimmed t for unequal population variances*, Biometrika 61 (1974); for one sample, J. W.
//! Tukey and D. H. `McLaughlin`, *Less vulnerable confidence and significance procedures for location based on a single sample*,
//! Sankhyā A 25 (1963).

use crate::interval::{Interval, half_width};
use crate::moments::Moments;
use crate::t_test::TTest;
use crate::trim::{Trim, mean};

/// A winsorised variance varies more than the degrees of freedom of the values that are left let on: of 8, 16 and 32 normal values as
/// one with 0.87, 0.81 and 0.81 of them (200,000 samples each). With all of them, as Yuen has it, intervals of five normal values hold
/// in 93.8 %, and of sixteen in 94.7 %; so in 95.9 and 95.3 %.
const WINSORISED: f64 = 0.81;

/// A location and how well it is known.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Location {
    /// The trimmed mean.
    pub estimate: f64,
    /// Its standard error; 0 if nothing varies.
    pub standard_error: f64,
    /// Degrees of freedom of the standard error.
    pub degrees_of_freedom: f64,
    /// How many values it is of.
    pub count: usize,
}

impl Location {
    /// The location of values in any order, a fifth of them left out at each end: of fewer than five none, and what results is
    /// their mean with Student's t. `None` below two values.
    pub fn of(values: &[f64]) -> Option<Self> {
        let mut sorted = values.to_vec();
        sorted.sort_unstable_by(f64::total_cmp);
        let kept = Trim::FIFTH.kept(sorted.len());
        if kept.len() < 2 {
            return None;
        }
        let (lowest, highest) = (sorted[kept.start], sorted[kept.end - 1]);
        let estimate = mean(&sorted[kept.clone()])?;
        let winsorised: Vec<f64> = sorted.iter().map(|v| v.clamp(lowest, highest)).collect();
        let middle = mean(&winsorised)?;
        let squares: f64 = winsorised.iter().map(|v| (v - middle).powi(2)).sum();
        let kept_freedom = (kept.len() - 1) as f64;
        Some(Self {
            estimate,
            standard_error: (squares / kept_freedom / kept.len() as f64).sqrt(),
            degrees_of_freedom: if kept.len() < sorted.len() {
                WINSORISED * kept_freedom
            } else {
                kept_freedom
            },
            count: sorted.len(),
        })
    }

    /// The mean of values that none may be left out of, with Student's t. `None` below two values.
    pub fn of_all(values: &[f64]) -> Option<Self> {
        let moments = Moments::of(values)?;
        Some(Self {
            estimate: moments.mean,
            standard_error: moments.squared_error().sqrt(),
            degrees_of_freedom: (moments.count - 1) as f64,
            count: moments.count,
        })
    }

    /// `self` minus another, of values that do not pair up: variances add, degrees of freedom are Satterthwaite's. It rests on
    /// the fewer values of the two.
    pub fn minus(self, other: Self) -> Self {
        let [own, others] = [self, other].map(|of| of.standard_error.powi(2));
        let freedom =
            own.powi(2) / self.degrees_of_freedom + others.powi(2) / other.degrees_of_freedom;
        Self {
            estimate: self.estimate - other.estimate,
            standard_error: (own + others).sqrt(),
            degrees_of_freedom: if freedom > 0.0 {
                (own + others).powi(2) / freedom
            } else {
                self.degrees_of_freedom + other.degrees_of_freedom
            },
            count: self.count.min(other.count),
        }
    }

    /// The location with its 95 % interval.
    pub fn interval(&self) -> Option<Interval> {
        let half_width = half_width(self.standard_error, self.degrees_of_freedom)?;
        Some(Interval {
            estimate: self.estimate,
            ci95: [self.estimate - half_width, self.estimate + half_width],
            blocks: self.count,
        })
    }

    /// Whether it is 0. `None` if nothing varies.
    pub fn test(&self) -> Option<TTest> {
        TTest::new(
            self.estimate,
            self.standard_error.powi(2),
            self.degrees_of_freedom,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Student's sleep data as if they were of twenty patients, t and df by `scipy.stats.ttest_ind(b, a, trim=0.2, equal_var=False)` and p by `2 * t.sf(t, 0.81 * df)` of
    /// `SciPy` 1.17.
    #[test]
    fn yuens_test_of_students_sleep_data() {
        let a = [0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0];
        let b = [1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4];
        let test = |one: &[f64], other: &[f64]| {
            let [one, other] = [one, other].map(|of| Location::of(of).unwrap());
            one.minus(other).test().unwrap()
        };
        let found = test(&b, &a);
        assert!(
            (found.t - 1.616_777_365_813_376_8).abs() < 1e-9,
            "{found:?}"
        );
        assert!(
            (found.degrees_of_freedom - WINSORISED * 8.264_708_513_637_695).abs() < 1e-9,
            "{found:?}"
        );
        assert!(
            (found.p - 0.151_910_590_572_377_7).abs() < 1e-9,
            "{found:?}"
        );
    }

    #[test]
    fn one_wild_value_in_five_changes_nothing() {
        let calm = [7.0, 8.0, 9.0, 10.0, 11.0, 12.0, 13.0, 14.0, 15.0, 16.0];
        let mut wild = calm;
        (wild[0], wild[9], wild[8]) = (-1e12, 1e15, 1e9);
        let [calm, wild] = [calm, wild].map(|of| Location::of(&of).unwrap());
        assert_eq!(calm.estimate.to_bits(), wild.estimate.to_bits());
        assert_eq!(calm.standard_error.to_bits(), wild.standard_error.to_bits());
    }

    #[test]
    fn few_values_have_students_interval() {
        let values = [1.0, 2.0, 4.0, 9.0];
        let location = Location::of(&values).unwrap();
        let student = crate::mean_interval(&values).unwrap();
        assert!((location.interval().unwrap().half_width() - student.half_width()).abs() < 1e-12);
        assert_eq!(Location::of(&[1.0]), None);
        assert_eq!(Location::of(&[3.0; 9]).unwrap().test(), None);
    }
}

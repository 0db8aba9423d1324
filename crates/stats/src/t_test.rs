//! Student's and Welch's t-test of two sets of independent values, and Student's of pairs.
//!
//! Requests are not independent: over requests these tests find differences that are not there. The
//! paper's procedure is Student's over requests; over block means Welch's is ours.

use crate::distribution::t_two_sided;
use crate::interval::{Interval, half_width};
use crate::moments::Moments;

/// Outcome of a t-test, of treatment minus control.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TTest {
    /// Treatment's mean minus control's.
    pub difference: f64,
    /// Standard error of the difference.
    pub standard_error: f64,
    /// The difference in standard errors.
    pub t: f64,
    /// Degrees of freedom.
    pub degrees_of_freedom: f64,
    /// Two-sided probability of such a difference between equals. 0 below 1e-308.
    pub p: f64,
}

impl TTest {
    pub(crate) fn new(
        difference: f64,
        squared_error: f64,
        degrees_of_freedom: f64,
    ) -> Option<Self> {
        let standard_error = squared_error.sqrt();
        (standard_error > 0.0).then(|| {
            let t = difference / standard_error;
            Self {
                difference,
                standard_error,
                t,
                degrees_of_freedom,
                p: t_two_sided(t, degrees_of_freedom),
            }
        })
    }

    /// The difference with its 95 % interval, for a test of `blocks` block means in the smaller arm.
    pub fn interval(&self, blocks: usize) -> Option<Interval> {
        let half_width = half_width(self.standard_error, self.degrees_of_freedom)?;
        Some(Interval {
            estimate: self.difference,
            ci95: [self.difference - half_width, self.difference + half_width],
            blocks,
        })
    }
}

/// The standard deviation of both sets together, each around its own mean.
pub fn pooled_sd(control: &Moments, treatment: &Moments) -> f64 {
    let weight = |set: &Moments| (set.count - 1) as f64;
    let squares = weight(control) * control.variance + weight(treatment) * treatment.variance;
    (squares / (weight(control) + weight(treatment))).sqrt()
}

/// Student's t-test: both sets vary alike. `None` if neither varies.
pub fn student(control: &Moments, treatment: &Moments) -> Option<TTest> {
    let variance = pooled_sd(control, treatment).powi(2);
    let squared_error = variance / control.count as f64 + variance / treatment.count as f64;
    TTest::new(
        treatment.mean - control.mean,
        squared_error,
        (control.count + treatment.count - 2) as f64,
    )
}

/// Welch's t-test: each set varies in its own way. `None` if neither varies.
pub fn welch(control: &Moments, treatment: &Moments) -> Option<TTest> {
    let squared_error = control.squared_error() + treatment.squared_error();
    let share = |set: &Moments| set.squared_error().powi(2) / (set.count - 1) as f64;
    let degrees_of_freedom = squared_error.powi(2) / (share(control) + share(treatment));
    TTest::new(
        treatment.mean - control.mean,
        squared_error,
        degrees_of_freedom,
    )
}

/// Student's t-test of differences of pairs. `None` below two, or if they do not vary.
pub fn paired(differences: &[f64]) -> Option<TTest> {
    let moments = Moments::of(differences)?;
    TTest::new(
        moments.mean,
        moments.squared_error(),
        (moments.count - 1) as f64,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_that_do_not_vary_have_no_test() {
        let constant = Moments::of(&[2.0, 2.0, 2.0]).unwrap();
        assert_eq!(student(&constant, &constant), None);
        assert_eq!(welch(&constant, &constant), None);
    }

    #[test]
    fn the_sign_is_that_of_treatment_minus_control() {
        let control = Moments::of(&[1.0, 2.0, 3.0]).unwrap();
        let treatment = Moments::of(&[4.0, 5.0, 6.5]).unwrap();
        for test in [student, welch] {
            let there = test(&control, &treatment).unwrap();
            let back = test(&treatment, &control).unwrap();
            assert!(there.t > 0.0 && back.t < 0.0);
            assert_eq!(there.p.to_bits(), back.p.to_bits());
            assert!(there.interval(3).unwrap().contains(there.difference));
        }
    }
}

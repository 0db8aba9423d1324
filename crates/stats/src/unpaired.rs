//! The interval of a difference between two samples that do not pair up.

use crate::interval::Interval;
use crate::moments::Moments;
use crate::t_test::welch;

/// The interval of the mean of `treatment` minus that of `control`, by Welch: variances may differ, and
/// degrees of freedom are Satterthwaite's. It rests on the fewer blocks of the two.
///
/// For arms of which one ran wholly after the other. Block means of one arm are taken to be
/// independent; what drifted between the arms is in the difference, and nothing here can tell.
///
/// `None` below two values in either sample.
pub fn unpaired_difference(control: &[f64], treatment: &[f64]) -> Option<Interval> {
    let [from, to] = [control, treatment].map(Moments::of);
    let (from, to) = (from?, to?);
    let blocks = control.len().min(treatment.len());
    let difference = to.mean - from.mean;
    match welch(&from, &to) {
        Some(test) => test.interval(blocks),
        // No value differs from its mean.
        None => Some(Interval {
            estimate: difference,
            ci95: [difference, difference],
            blocks,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Student's sleep data as if they were of twenty patients: R's `t.test(extra ~ group)` has the
    /// interval -3.3654832, 0.2054832 for the first mean minus the second.
    #[test]
    fn welchs_interval_of_students_sleep_data() {
        let a = [0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0];
        let b = [1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4];
        let interval = unpaired_difference(&b, &a).unwrap();
        assert!((interval.estimate + 1.58).abs() < 1e-12);
        assert!((interval.ci95[0] + 3.365_483_2).abs() < 1e-6);
        assert!((interval.ci95[1] - 0.205_483_2).abs() < 1e-6);
        assert_eq!(interval.blocks, 10);
    }

    #[test]
    fn samples_of_unequal_size_and_spread() {
        // Means 2 and 6; squared errors 1/3 and 4/2; degrees of freedom (7/3)^2 / (1/18 + 4) = 1.342.
        let interval = unpaired_difference(&[1.0, 2.0, 3.0], &[4.0, 8.0]).unwrap();
        assert!((interval.estimate - 4.0).abs() < 1e-12);
        assert_eq!(interval.blocks, 2);
        assert!(interval.contains(0.0));
        assert_eq!(unpaired_difference(&[1.0], &[2.0, 3.0]), None);
        let certain = unpaired_difference(&[1.0, 1.0], &[3.0, 3.0]).unwrap();
        assert!(certain.contains(2.0) && certain.half_width() < 1e-12);
    }
}

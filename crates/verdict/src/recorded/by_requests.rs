//! The paper's method: Student's t over requests, as if each were independent of the others.

use runlog::comparison::Test;
use runlog::estimate::{Estimate, Unit};
use stats::Moments;
use stats::t_test::{TTest, student};

use super::RecordedArm;

/// Names the test.
pub const STUDENT: &str = "Student's t over requests, equal variances";

/// A test as reports have it; `scale` turns nanoseconds into their unit.
pub fn test(name: &str, test: &TTest, scale: f64) -> Test {
    Test {
        test: name.to_owned(),
        difference: test.difference * scale,
        t: test.t,
        degrees_of_freedom: test.degrees_of_freedom,
        p: test.p,
    }
}

/// The second half of the values against the first.
pub fn halves(arm: &RecordedArm, scale: f64) -> Option<Test> {
    let [first, second] = arm.halves();
    let outcome = student(&first.moments()?, &second.moments()?)?;
    Some(test(STUDENT, &outcome, scale))
}

/// The difference of two arms, with the interval that follows from the test.
pub fn difference(
    control: &Moments,
    treatment: &Moments,
    unit: Unit,
    scale: f64,
) -> Option<Estimate> {
    let outcome = student(control, treatment)?;
    let interval = outcome.interval(0)?.scaled(scale);
    Some(crate::estimate(
        interval,
        unit,
        "difference of mean response times, treatment minus baseline",
        "Student's t over requests, taken for independent",
    ))
}

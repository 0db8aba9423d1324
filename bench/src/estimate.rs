//! Means over rounds, and whether they reach what was to be reached.

use serde::Serialize;
use stats::Interval;

/// A mean over rounds, with Student's t interval.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Estimate {
    /// The mean.
    pub estimate: f64,
    /// Its interval.
    pub ci95: [f64; 2],
}

impl From<Interval> for Estimate {
    fn from(interval: Interval) -> Self {
        Self {
            estimate: interval.estimate,
            ci95: interval.ci95,
        }
    }
}

/// A target.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Target {
    /// What was to be reached.
    pub what: String,
    /// Whether it was.
    pub verdict: Verdict,
}

/// Whether a target is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// The whole interval is on the right side.
    Holds,
    /// The estimate is on the right side, and an end of the interval is not.
    HoldsUnresolved,
    /// The estimate is on the wrong side, and an end of the interval is not.
    MissedUnresolved,
    /// The whole interval is on the wrong side.
    Missed,
}

impl Verdict {
    /// Whether a quantity is at most `limit`.
    pub fn at_most(found: Estimate, limit: f64) -> Self {
        let [low, high] = found.ci95;
        match (found.estimate <= limit, low <= limit, high <= limit) {
            (true, _, true) => Self::Holds,
            (true, _, false) => Self::HoldsUnresolved,
            (false, true, _) => Self::MissedUnresolved,
            (false, false, _) => Self::Missed,
        }
    }

    /// Whether a quantity is at least `limit`.
    pub fn at_least(found: Estimate, limit: f64) -> Self {
        let [low, high] = found.ci95;
        let mirrored = Estimate {
            estimate: -found.estimate,
            ci95: [-high, -low],
        };
        Self::at_most(mirrored, -limit)
    }

    /// In words.
    pub fn words(self) -> &'static str {
        match self {
            Self::Holds => "holds",
            Self::HoldsUnresolved => "holds, within the interval",
            Self::MissedUnresolved => "MISSED, within the interval",
            Self::Missed => "MISSED",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn around(estimate: f64, half_width: f64) -> Estimate {
        Estimate {
            estimate,
            ci95: [estimate - half_width, estimate + half_width],
        }
    }

    #[test]
    fn a_verdict_says_whether_the_interval_decides() {
        assert_eq!(Verdict::at_most(around(2.0, 0.5), 3.0), Verdict::Holds);
        assert_eq!(
            Verdict::at_most(around(2.0, 1.5), 3.0),
            Verdict::HoldsUnresolved
        );
        assert_eq!(
            Verdict::at_most(around(4.0, 1.5), 3.0),
            Verdict::MissedUnresolved
        );
        assert_eq!(Verdict::at_most(around(4.0, 0.5), 3.0), Verdict::Missed);
        assert_eq!(Verdict::at_least(around(25.0, 1.0), 20.0), Verdict::Holds);
        assert_eq!(Verdict::at_least(around(15.0, 1.0), 20.0), Verdict::Missed);
    }
}

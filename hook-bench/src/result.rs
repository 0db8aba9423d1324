//! What the bench finds: the shape of its JSON.

use serde::{Deserialize, Serialize};
use stats::{Interval, mean_interval};

/// Everything that one run has found.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Release of the kernel.
    pub kernel: String,
    /// The CPU.
    pub cpu: String,
    /// Rounds that were run.
    pub rounds: u32,
    /// Seed of the order.
    pub seed: u64,
    /// The cases, in the order of the table.
    pub cases: Vec<Found>,
    /// Those that were not measured, and why.
    pub missing: Vec<Missing>,
}

/// One case.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Found {
    /// Its name.
    pub name: String,
    /// What a read takes past the hook, by round: the median over batches, in ns.
    pub bare_ns: Vec<f64>,
    /// What one takes through the hook.
    pub hooked_ns: Vec<f64>,
    /// The difference, in ns: its mean over rounds.
    pub added_ns: Option<Estimate>,
    /// How many times as much the paper's hook adds in the same run; null where it is not compared.
    pub paper_adds_times: Option<Estimate>,
    /// What was to be reached, and whether it was.
    pub targets: Vec<Target>,
}

/// A case that could not be measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Missing {
    /// Its name.
    pub name: String,
    /// Why.
    pub reason: String,
}

/// A mean over rounds, with Student's t interval.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
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
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Target {
    /// What was to be reached.
    pub what: String,
    /// Whether it was.
    pub verdict: Verdict,
}

/// Whether a target is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
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

impl Found {
    /// What the reads of one round took.
    pub fn push(&mut self, bare_ns: f64, hooked_ns: f64) {
        self.bare_ns.push(bare_ns);
        self.hooked_ns.push(hooked_ns);
    }

    /// What was added, by round.
    pub fn added_by_round(&self) -> Vec<f64> {
        let pairs = self.bare_ns.iter().zip(&self.hooked_ns);
        pairs.map(|(bare, hooked)| hooked - bare).collect()
    }

    /// Estimates what is added.
    pub fn estimate(&mut self) {
        self.added_ns = mean_interval(&self.added_by_round()).map(Estimate::from);
    }
}

/// How many times as much `theirs` is as `ours`, by Fieller's theorem over independent rounds: an interval
/// of a ratio of two means. `None` where ours is not told from 0, as then the interval has no end.
pub fn ratio(theirs: &[f64], ours: &[f64]) -> Option<Estimate> {
    let (theirs, ours) = (mean_interval(theirs)?, mean_interval(ours)?);
    let relative = (ours.half_width() / ours.estimate).powi(2);
    if ours.ci95[0] <= 0.0 || relative >= 1.0 {
        return None;
    }
    let ratio = theirs.estimate / ours.estimate;
    let spread = (theirs.half_width() / ours.estimate).powi(2) * (1.0 - relative)
        + (ratio * ours.half_width() / ours.estimate).powi(2);
    let half_width = spread.sqrt() / (1.0 - relative);
    let middle = ratio / (1.0 - relative);
    Some(Estimate {
        estimate: ratio,
        ci95: [middle - half_width, middle + half_width],
    })
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

    #[test]
    fn the_interval_of_a_ratio_is_fiellers() {
        // Means 10 and 2, both with t(0.975, 1) = 12.706 times a standard error of 0.01.
        let [theirs, ours] = [[9.99, 10.01], [1.99, 2.01]];
        let found = ratio(&theirs, &ours).unwrap();
        assert!((found.estimate - 5.0).abs() < 1e-9);
        // The ends are the roots of (10 - r 2)^2 = h^2 (1 + r^2) with h = 0.12706.
        for end in found.ci95 {
            let left = (10.0 - end * 2.0).powi(2);
            let right = 0.127_062_047_36_f64.powi(2) * (1.0 + end * end);
            assert!((left - right).abs() < 1e-6, "{end}: {left} {right}");
        }
        assert_eq!(ratio(&theirs, &[-1.0, 1.0]), None);
    }

    #[test]
    fn what_is_added_is_the_difference_in_the_same_round() {
        let mut found = Found::default();
        found.push(100.0, 110.0);
        found.push(300.0, 310.0);
        found.estimate();
        assert_eq!(found.added_ns, Some(around(10.0, 0.0)));
    }
}

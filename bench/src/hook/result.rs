//! What the bench finds: the shape of its JSON.

use serde::Serialize;
use stats::mean_interval;

use crate::estimate::{Estimate, Target};
use crate::result::Missing;

/// Everything that one run has found.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
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
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
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

impl Found {
    /// Nothing yet of the case with this name.
    pub fn of(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            ..Self::default()
        }
    }

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

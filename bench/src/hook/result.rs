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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_added_is_the_difference_in_the_same_round() {
        let mut found = Found::default();
        found.push(100.0, 110.0);
        found.push(300.0, 310.0);
        found.estimate();
        assert_eq!(
            found.added_ns,
            Some(Estimate {
                estimate: 10.0,
                ci95: [10.0, 10.0],
            })
        );
    }
}

//! An estimate with everything a reader needs to know what it estimates.

use serde::{Deserialize, Serialize};

/// Unit of an [`Estimate`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// Nanoseconds.
    Ns,
    /// Milliseconds.
    Ms,
    /// Calls.
    Calls,
    /// Bytes.
    Bytes,
    /// A ratio or a share.
    One,
}

/// A point estimate with its interval, estimand and method.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Estimate {
    /// Point estimate.
    pub estimate: f64,
    /// Two-sided 95 % confidence interval.
    pub ci95: [f64; 2],
    /// Unit of `estimate` and `ci95`.
    pub unit: Unit,
    /// The quantity that is estimated.
    pub estimand: String,
    /// How the interval was made.
    pub method: String,
    /// Blocks, pairs of blocks, or processes in a trial, that the interval rests on.
    pub blocks: usize,
}

impl Estimate {
    /// Whether a value lies within the interval, or no further from it than the tolerance: an estimate is as good as the
    /// machine is quiet.
    pub fn reaches(&self, value: f64, tolerance: f64) -> bool {
        (self.ci95[0] - tolerance..=self.ci95[1] + tolerance).contains(&value)
    }

    /// Whether the interval lies wholly on one side of 0.
    pub fn excludes_zero(&self) -> bool {
        let [low, high] = self.ci95;
        low > 0.0 || high < 0.0
    }
}

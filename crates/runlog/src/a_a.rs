//! What `probe-user validate a-a` finds: how often a procedure sees a difference between two equal servers.

use serde::{Deserialize, Serialize};

use crate::estimate::Estimate;
use crate::manifest::{Environment, Placement};
use crate::order::Order;

/// Version of this shape.
pub const SCHEMA: &str = "hookprobe/a-a/1";

/// Runs of two equal arms.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct AaReport {
    /// [`SCHEMA`].
    pub schema: String,
    /// Why it ended early, or null.
    pub cut_short: Option<String>,
    /// Order of the blocks.
    pub order: Order,
    /// The runs.
    pub runs: Vec<AaRun>,
    /// In how many runs our 95 % interval does not hold zero.
    pub false_alarms: u32,
    /// In how many the paper's procedure has a p below 0.05.
    pub paper_false_alarms: u32,
    /// How many false alarms a sound procedure may raise: it raises more in less than 2.5 % of all such
    /// series.
    pub allowed: u32,
    /// Whether ours raised no more; null for the order `sequential`, for which nothing is promised.
    pub holds: Option<bool>,
    /// The machine.
    pub environment: Environment,
    /// Which CPUs did what.
    pub placement: Placement,
}

/// One run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct AaRun {
    /// Number of the run.
    pub run: u32,
    /// Seed of its order.
    pub seed: u64,
    /// Response time of `baseline-2` minus that of `baseline`, by our procedure.
    pub difference: Estimate,
    /// Whether its interval does not hold zero.
    pub false_alarm: bool,
    /// The paper's procedure on the same requests.
    pub paper: PaperTest,
}

/// Student's t-test over requests, the first of each arm dropped.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct PaperTest {
    /// Requests of each arm that were dropped as warm-up.
    pub warmup: u64,
    /// Requests of each arm that were left.
    pub n: [usize; 2],
    /// Their means, in nanoseconds.
    pub mean_ns: [f64; 2],
    /// Pooled standard deviation, in nanoseconds.
    pub pooled_sd_ns: f64,
    /// Student's t.
    pub t: f64,
    /// Two-sided p.
    pub p: f64,
    /// Whether p is below 0.05.
    pub false_alarm: bool,
}

//! Comparisons of recorded arms: what `probe-user analyze --json` and `probe-user report --json` print.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::estimate::{Estimate, Unit};
use crate::order::Order;

/// Version of this shape.
pub const SCHEMA: &str = "hookprobe/comparison/1";
/// Version of [`Settings`].
pub const SETTINGS_SCHEMA: &str = "hookprobe/settings/1";

/// How arms are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// By blocks: the requests of a block depend on each other, blocks hardly do.
    Blocks,
    /// By requests, as in the paper: the first of them are left out, then Student's t over the others.
    Paper,
}

/// Arms, and each of them against the first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Comparisons {
    /// [`SCHEMA`].
    pub schema: String,
    /// How the arms were compared.
    pub method: Method,
    /// Unit of all times: `ms` if any arm is a CSV of the paper's kind, else `ns`.
    pub unit: Unit,
    /// Where response times are split into body and tail; null for the paper's method.
    pub threshold: Option<Threshold>,
    /// One entry an arm; the first is the baseline.
    pub arms: Vec<ArmFigures>,
    /// One entry for each arm but the first.
    pub comparisons: Vec<Comparison>,
    /// What a reader of the figures has to know.
    pub notes: Vec<String>,
}

/// Where response times are split, in all arms alike. The mean of what a block's have up to there is its body.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Threshold {
    /// In the unit of the report.
    pub value: f64,
    /// What it is four times of.
    pub from: ThresholdFrom,
}

/// What a threshold is four times of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum ThresholdFrom {
    /// The longest median of the arms' warm-ups, of which nothing is compared.
    WarmUps,
    /// The longest median of the arms: not all of them have a warm-up of their own.
    Arms,
}

/// One arm.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ArmFigures {
    /// Its name.
    pub name: String,
    /// The file, or the run and the arm in it.
    pub source: String,
    /// Requests that the figures are of.
    pub n: usize,
    /// Requests that they are not of, by reason.
    pub left_out: BTreeMap<String, u64>,
    /// Mean response time.
    pub mean: f64,
    /// Median.
    pub median: f64,
    /// Standard deviation over requests.
    pub sd: f64,
    /// 90th, 99th and 99.9th percentile.
    pub p90_p99_p999: [f64; 3],
    /// Its blocks; null for the paper's method.
    pub blocks: Option<BlockFigures>,
    /// The second half of the arm against its first: there is no difference to find but drift.
    pub halves: Option<Test>,
}

/// The blocks of an arm.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct BlockFigures {
    /// How many.
    pub count: usize,
    /// Values in the smallest and the largest.
    pub requests: [usize; 2],
    /// Standard deviation of the blocks' bodies.
    pub sd: f64,
    /// Correlation of the blocks' bodies with the next one's.
    pub lag1: Option<f64>,
    /// Correlation of requests with the next one within blocks; null where their order is not known.
    pub requests_lag1: Option<f64>,
    /// How many independent requests would give a mean as precise as the block means show it to be.
    pub effective_n: Option<f64>,
}

/// A test of a difference.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Test {
    /// Which test.
    pub test: String,
    /// The difference that is tested.
    pub difference: f64,
    /// The difference in standard errors.
    pub t: f64,
    /// Degrees of freedom.
    pub degrees_of_freedom: f64,
    /// Two-sided. 0 stands for less than 2.3e-308, the smallest number of this format.
    pub p: f64,
}

/// A treatment against the baseline. Pairs are of the baseline and the treatment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Comparison {
    /// Name of the first arm.
    pub baseline: String,
    /// Name of the other.
    pub treatment: String,
    /// Requests.
    pub n: [usize; 2],
    /// Means over requests.
    pub mean: [f64; 2],
    /// Medians over requests.
    pub median: [f64; 2],
    /// Standard deviation of requests around the mean of their arm.
    pub pooled_sd: f64,
    /// t of treatment minus baseline; null where nothing varies.
    pub t: Option<f64>,
    /// Its two-sided p; null where nothing varies. 0 stands for less than 2.3e-308, the smallest number
    /// of this format.
    pub p: Option<f64>,
    /// Degrees of freedom of `t`.
    pub degrees_of_freedom: Option<f64>,
    /// Which test `t` and `p` are of.
    pub test: String,
    /// `p` adjusted by Holm's method for all comparisons of this report.
    pub p_holm: Option<f64>,
    /// Whether blocks of the same round were compared with each other.
    pub paired: bool,
    /// Blocks that `t` rests on; null for the paper's method.
    pub blocks: Option<[usize; 2]>,
    /// Treatment minus baseline: of the bodies by the method of blocks, of the means by the paper's.
    pub difference: Option<Estimate>,
    /// What the treatment adds; null for the paper's method.
    pub effect: Option<Effect>,
    /// What is only computed for the method of blocks.
    pub beyond_means: Option<BeyondMeans>,
}

/// What a treatment adds to a typical request, and to the mean: where the mean has more, a part of the requests has it all.
/// Each is null where blocks are too few; where nothing varies its interval has no width.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Effect {
    /// Difference of medians.
    pub typical: Option<Estimate>,
    /// Difference of means of what response times have up to the threshold. That of `difference`.
    pub body: Option<Estimate>,
    /// Difference of means of what they have above it.
    pub tail: Option<Estimate>,
    /// Difference of means: body and tail.
    pub mean: Option<Estimate>,
    /// Difference of the shares of response times above it.
    pub share_above: Option<Estimate>,
}

/// What a difference of means does not say.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct BeyondMeans {
    /// How quantiles are shifted.
    pub quantile_shifts: Vec<QuantileShift>,
    /// Cliff's delta over requests: the share of pairs in which the treatment's is slower minus the
    /// share in which it is faster.
    pub cliffs_delta: Option<Estimate>,
    /// Mann-Whitney's U over the blocks' bodies, of the treatment. It takes the arms for measured apart.
    pub mann_whitney_u: f64,
    /// Its two-sided p.
    pub mann_whitney_p: f64,
    /// The smallest difference of bodies that so many blocks would detect with probability 0.8 at the
    /// level of 0.05.
    pub minimum_detectable_effect: Option<f64>,
    /// Blocks per arm that would detect a true difference of the size that was found; null where no
    /// number within reason would.
    pub blocks_to_detect_difference: Option<usize>,
}

/// How a quantile is shifted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct QuantileShift {
    /// From 0 to 1.
    pub quantile: f64,
    /// The treatment's minus the baseline's. Null where there are too few blocks for an interval.
    pub shift: Option<Estimate>,
    /// How often intervals of this kind, with so many blocks, held in simulation; null where it was
    /// not simulated.
    pub simulated_coverage: Option<f64>,
}

/// The same comparison in several runs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// [`SETTINGS_SCHEMA`].
    pub schema: String,
    /// One entry a run, in the order of the command line.
    pub settings: Vec<Setting>,
}

/// One run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Setting {
    /// The folder.
    pub run: String,
    /// Kernel release.
    pub kernel: String,
    /// CPU model.
    pub cpu_model: String,
    /// Which CPUs did what, in words.
    pub placement: String,
    /// Order of the blocks.
    pub order: Order,
    /// Connections at a time.
    pub connections: usize,
    /// Its arms against its first.
    pub comparisons: Comparisons,
}

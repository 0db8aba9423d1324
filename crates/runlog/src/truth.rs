//! What `probe-user validate truth` finds: delays that the hook was told to inject against what the layers
//! measure. `truth-blind.json` is written before the key is looked at, `truth.json` after.

use serde::{Deserialize, Serialize};

use crate::analysis::Ledger;
use crate::estimate::Estimate;
use crate::manifest::{Environment, Placement};
use crate::order::Order;

/// Version of [`Blind`].
pub const BLIND_SCHEMA: &str = "hookprobe/truth-blind/1";
/// Version of [`Truth`].
pub const SCHEMA: &str = "hookprobe/truth/2";
/// Version of [`Coverage`].
pub const COVERAGE_SCHEMA: &str = "hookprobe/coverage/1";

/// What was estimated of arms whose delays were not known.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Blind {
    /// [`BLIND_SCHEMA`].
    pub schema: String,
    /// One entry an arm but the reference, whose delay is zero.
    pub arms: Vec<BlindArm>,
}

/// An arm with an unknown delay, against the reference in the same run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct BlindArm {
    /// Its name, which says nothing.
    pub arm: String,
    /// In-situ hook overhead minus that of the reference, probes attached; null without probes.
    pub in_situ: Option<Estimate>,
    /// Response time minus that of the reference, probes detached.
    #[serde(rename = "macro")]
    pub macro_: Option<Estimate>,
    /// How long the blocks of both arms took together with the probes detached, in nanoseconds.
    pub macro_load_ns: u64,
}

/// Injected against measured delays.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Truth {
    /// [`SCHEMA`].
    pub schema: String,
    /// Why the run ended early, or null.
    pub cut_short: Option<String>,
    /// Whether every delay was found within the tolerance, and the ledger balances.
    pub holds: bool,
    /// One entry a delay, in ascending order.
    pub delays: Vec<DelayFound>,
    /// The smallest delay that the macro layer of a run like this one detects; null if no interval was
    /// found.
    pub detectable: Option<Detectable>,
    /// Where every probe hit went.
    pub ledger: Option<Ledger>,
    /// The machine.
    pub environment: Environment,
    /// Which CPUs did what.
    pub placement: Placement,
}

/// One injected delay, against the arm with a delay of zero in the same run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct DelayFound {
    /// Name of the arm: its estimates are those of `truth-blind.json`.
    pub arm: String,
    /// What the hook was told to wait after each read.
    pub injected_ns: u64,
    /// In-situ hook overhead minus that of the arm without delay, probes attached.
    pub in_situ: Option<Estimate>,
    /// How far `in_situ` may be off.
    pub in_situ_tolerance_ns: f64,
    /// Response time minus that of the arm without delay, probes detached.
    #[serde(rename = "macro")]
    pub macro_: Option<Estimate>,
    /// How far `macro` may be off.
    pub macro_tolerance_ns: f64,
    /// Whether the interval of `macro` lies above zero.
    pub macro_detects: bool,
    /// Whether `in_situ` is within its tolerance, and `macro` as far as its interval can tell.
    pub holds: bool,
}

/// The smallest delay that would have been detected.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Detectable {
    /// It, in nanoseconds.
    pub ns: f64,
    /// Within how many seconds of load: what the blocks of the two arms took.
    pub load_seconds: f64,
    /// With which probability.
    pub power: f64,
    /// How it was found.
    pub method: String,
}

/// How often the macro intervals of short runs hold the truth.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Coverage {
    /// [`COVERAGE_SCHEMA`].
    pub schema: String,
    /// Why it ended early, or null.
    pub cut_short: Option<String>,
    /// Order of the blocks.
    pub order: Order,
    /// The runs.
    pub runs: Vec<CoverageRun>,
    /// How many intervals miss the delay that was injected.
    pub missed: u32,
    /// How many may: intervals that each miss with a probability of 5 % miss more often than this in
    /// less than 2.5 % of all such series.
    pub allowed: u32,
    /// Whether no more missed.
    pub holds: bool,
    /// The machine.
    pub environment: Environment,
    /// Which CPUs did what.
    pub placement: Placement,
}

/// One short run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct CoverageRun {
    /// Number of the run.
    pub run: u32,
    /// Seed of its order.
    pub seed: u64,
    /// What the hook was told to wait after each read.
    pub injected_ns: u64,
    /// Response time minus that of the arm without delay.
    #[serde(rename = "macro")]
    pub macro_: Estimate,
    /// Whether its interval holds the delay.
    pub covers: bool,
}

//! What `probe-user micro --json` prints: what a hook adds to one `read` in isolation, rung by rung.

use serde::{Deserialize, Serialize};

use crate::estimate::Estimate;
use crate::manifest::{Environment, Placement};

/// Version of this shape.
pub const SCHEMA: &str = "hookprobe/micro/1";

/// The ladder.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct MicroReport {
    /// [`SCHEMA`].
    pub schema: String,
    /// The hook.
    pub hook: String,
    /// Length of what each call reads, in bytes.
    pub message_bytes: usize,
    /// Blocks of each rung at each temperature.
    pub blocks: u32,
    /// Calls of each read in a hot block.
    pub hot_calls: u32,
    /// Calls of each read in a cold or flushed block.
    pub cold_calls: u32,
    /// Share of a block's sorted calls that its mean leaves out at each end.
    pub trim_each_end: f64,
    /// How calls were made cold.
    pub eviction: Eviction,
    /// The rungs, each doing all that the one before does.
    pub rungs: Vec<Rung>,
    /// The figures beside those of a recorded run, or null.
    pub against_run: Option<AgainstRun>,
    /// What to beware of.
    pub warnings: Vec<String>,
    /// The machine.
    pub environment: Environment,
    /// Which CPUs did what.
    pub placement: Placement,
}

/// How calls were made cold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Eviction {
    /// In words.
    pub how: String,
    /// Size of the L2 cache, where the kernel says.
    pub l2_bytes: Option<u64>,
    /// Data that was walked over before each cold call.
    pub walked_bytes: u64,
    /// Functions that were run before each cold call, each once.
    pub functions: u64,
    /// Memory of the hook that was flushed before each flushed call; null where that cannot be done.
    pub flushed_bytes: Option<u64>,
}

/// One rung of the hook.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Rung {
    /// `off`, `passthrough`, `lookup`, `scan`, `log`, or `as-set`.
    pub name: String,
    /// Settings of the hook, as `NAME=value`.
    pub hook_environment: Vec<String>,
    /// In a tight loop.
    pub hot: Cost,
    /// With L1, L2 and branch predictors filled by others before each call; null if not asked for.
    pub cold: Option<Cost>,
    /// With the hook's memory flushed from all caches besides; null if not asked for, or where that
    /// cannot be done.
    pub flushed: Option<Cost>,
}

/// What a rung costs at one temperature.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Cost {
    /// One `read` past the hook.
    pub bare_read: Estimate,
    /// What the hook adds to it.
    pub overhead: Estimate,
    /// That minus the overhead of the rung before; null for the first.
    pub increment: Option<Estimate>,
}

/// Micro figures beside the in-situ layer of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct AgainstRun {
    /// The run's folder.
    pub run: String,
    /// The rung that the run's hook was on.
    pub rung: String,
    /// What the hook added to a call in the running server, less what timing adds where the run knows.
    pub in_situ: Estimate,
    /// That minus the micro figure at each temperature.
    pub differences: Vec<Prediction>,
    /// The temperature whose figure is nearest to it.
    pub nearest: String,
}

/// How far a micro figure is from the in-situ one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Prediction {
    /// `hot`, `cold` or `flushed`.
    pub temperature: String,
    /// In situ minus micro.
    pub in_situ_minus_micro: Estimate,
    /// The same as a share of the in-situ figure.
    pub share: f64,
    /// Whether the micro figure predicts the in-situ one: the interval holds 0, or the difference is at
    /// most a tenth of it.
    pub predicts: bool,
}

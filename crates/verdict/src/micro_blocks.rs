//! What the processes of the micro layer hand over to be judged.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What caches and branch predictors hold when a call begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Temperature {
    /// What the calls before have left.
    Hot,
    /// L1 and L2 hold other data, L1 and the branch predictors other code.
    Cold,
    /// Besides, no line of the hook is in any cache: all come from memory.
    Flushed,
}

/// The process's answer to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ready {
    /// Size of the L2 cache by the kernel's word.
    pub l2_bytes: Option<u64>,
    /// Data that is walked over to make a call cold.
    pub walked_bytes: u64,
    /// Functions that are run to make a call cold, each once.
    pub functions: u64,
    /// Memory of the hook that can be flushed; `None` where that cannot be done.
    pub flushed_bytes: Option<u64>,
}

/// The longest that a call of the micro layer counts as, ns: a rare cost is in means, and a call that the hypervisor interrupted
/// decides none. Fixed beforehand, for all.
pub const LONGEST_CALL_NS: f64 = 100_000.0;

/// The answer to an order: what a call of each read takes.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct MicroBlock {
    /// Through the hook: the trimmed mean, which is what a typical call takes.
    pub hooked_ns: f64,
    /// Past the hook.
    pub bare_ns: f64,
    /// The mean of all calls, each clipped at [`LONGEST_CALL_NS`]: through the hook
    pub hooked_mean_ns: f64,
    /// and past it.
    pub bare_mean_ns: f64,
}

impl MicroBlock {
    /// What the hook adds.
    pub fn overhead_ns(self) -> f64 {
        self.hooked_ns - self.bare_ns
    }

    /// The same of all calls.
    pub fn mean_overhead_ns(self) -> f64 {
        self.hooked_mean_ns - self.bare_mean_ns
    }
}

/// What came out.
#[derive(Debug)]
pub struct Measured {
    /// Blocks of each rung at each temperature, by round.
    pub blocks: Vec<BTreeMap<Temperature, Vec<MicroBlock>>>,
    /// How calls were made cold.
    pub eviction: Ready,
}

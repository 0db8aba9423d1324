//! What the agent and a process of the micro layer say to each other: one JSON object a line.

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

/// The agent's first line.
#[derive(Debug, Serialize, Deserialize)]
pub struct Begin {
    /// The bytes to read.
    pub message: Vec<u8>,
    /// Share of a block's sorted calls left out at each end.
    pub trim: f64,
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

/// The agent's further lines: a block to measure.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Order {
    /// How hot.
    pub temperature: Temperature,
    /// Calls of each read.
    pub calls: u32,
    /// Seed of the order within each pair of calls.
    pub seed: u64,
}

/// The answer to an order: the trimmed mean duration of a call of each read.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct MicroBlock {
    /// Through the hook.
    pub hooked_ns: f64,
    /// Past the hook.
    pub bare_ns: f64,
}

impl MicroBlock {
    /// What the hook adds.
    pub fn overhead_ns(self) -> f64 {
        self.hooked_ns - self.bare_ns
    }
}

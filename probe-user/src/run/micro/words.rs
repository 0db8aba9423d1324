//! What the agent and a process of the micro layer say to each other: one JSON object a line.

use serde::{Deserialize, Serialize};
use verdict::micro_blocks::Temperature;

/// The agent's first line.
#[derive(Debug, Serialize, Deserialize)]
pub struct Begin {
    /// The bytes to read.
    pub message: Vec<u8>,
    /// Share of a block's sorted calls left out at each end.
    pub trim: f64,
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

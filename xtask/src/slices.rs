//! What is held against slices of time: a delay of known length, and a queue that is simulated.

mod amplification;
mod delay;

use std::process::ExitCode;

use crate::command::Stages;
use crate::prove::worse;

/// Little of the micro layer: nobody looks at it here.
const SHORT_MICRO: [&str; 2] = ["--micro-calls=50", "--micro-cold-calls=0"];

/// Fails where too few intervals hold the delay, or where an amplification is not that of the simulated queue.
pub fn prove(runs: u32, stages: &mut Stages) -> anyhow::Result<ExitCode> {
    let delay = stages.run("a delay by slices", || delay::prove(runs as usize))?;
    let amplification = stages.run("amplification", amplification::prove)?;
    Ok(worse(delay, amplification))
}

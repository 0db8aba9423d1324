//! What the agent and the calibrated process say to each other, a line of JSON each.

use serde::{Deserialize, Serialize};

use super::first_instruction::FirstInstruction;

/// Calls that are timed together. A batch is a whole number of these.
pub const CALLS_TIMED_TOGETHER: u32 = 50;

/// The process's first line.
#[derive(Debug, Serialize, Deserialize)]
pub struct Hello {
    /// The empty functions: what each begins with, and its offset in the executable.
    pub functions: Vec<(FirstInstruction, u64)>,
}

/// What to call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Call {
    /// The clock, twice in a row: the span between is what an empty self-timed span reads.
    ClockTwice,
    /// A system call that does next to nothing: `getppid(2)`.
    NoWork,
    /// `read(2)` of a descriptor that does not exist.
    RefusedRead,
    /// `sendto(2)` on an accepted connection, with an address that is too long.
    RefusedWrite,
    /// `read` of one byte of an accepted connection, through the hook.
    HookedRead,
    /// The empty function that begins with this.
    Function(FirstInstruction),
}

/// How calls follow each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Pace {
    /// One right after the other: all that they use is in the caches.
    BackToBack,
    /// Each after a sleep, as in a program that waits for its work. Each is timed by itself, so the time
    /// contains one clock read.
    AfterPause,
}

/// What the agent asks for.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Order {
    /// What to call.
    pub call: Call,
    /// How often: a multiple of [`CALLS_TIMED_TOGETHER`].
    pub calls: u32,
    /// How they follow each other.
    pub pace: Pace,
}

/// What the process answers.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    /// What one call took, in nanoseconds: the trimmed mean over [`CALLS_TIMED_TOGETHER`]s.
    pub mean_ns: f64,
    /// The median likewise.
    pub median_ns: f64,
}

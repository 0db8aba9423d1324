//! What probes add on this machine: `probe-user validate probes --json`, and part of the manifest and of a
//! trace.

use serde::{Deserialize, Serialize};

use crate::estimate::Estimate;
use crate::manifest::Environment;

/// Version of this shape.
pub const SCHEMA: &str = "hookprobe/calibration/1";

/// The kind of span that is a hook's own cost, as calibrations and traces name it.
pub const HOOK_OVERHEAD: &str = "hook_overhead";
/// That of `read(2)` in the kernel, of calls that a hook made.
pub const HOOKED_READ_SYSCALL: &str = "hooked_read_syscall";

/// What `probe-user validate probes --json` prints.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct CalibrationReport {
    /// [`SCHEMA`].
    pub schema: String,
    /// The machine.
    pub environment: Environment,
    /// What was measured on it.
    pub calibration: Calibration,
}

/// What probes add, measured on a process of our own right before what they are to correct.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Calibration {
    /// Rounds; in each, every probe was attached and detached once.
    pub rounds: u32,
    /// Calls of each kind in a round, with the probes attached, and as many with them detached.
    pub calls: u32,
    /// What was measured.
    pub probes: Vec<Calibrated>,
    /// What could not be.
    pub missing: Vec<NotCalibrated>,
}

/// What a probe adds to one kind of span.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Calibrated {
    /// What is attached: `site`, a kernel probe, both, or `uprobe+uretprobe`.
    pub attach_type: String,
    /// The kind of span, as in a trace.
    pub span: String,
    /// What the probed function begins with; null unless a function is probed.
    pub first_instruction: Option<String>,
    /// Bias: the mean that is added to the duration seen. Trimmed like every mean.
    pub bias_mean: Estimate,
    /// The same of the median.
    pub bias_median: Estimate,
    /// The same of calls that each follow a sleep: the probes' code and data are no longer in the nearest
    /// caches. Null where the probes time nothing themselves.
    pub bias_after_pause: Option<Estimate>,
    /// Cost: what one call takes its caller longer than with the probes detached; null where it is not a
    /// call of its own.
    pub caller_cost: Option<Estimate>,
}

/// A probe that could not be calibrated.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct NotCalibrated {
    /// As in [`Calibrated`].
    pub attach_type: String,
    /// Why not.
    pub reason: String,
}

impl Calibration {
    /// What is added to spans of one kind. The syscalls that a hook makes are read calls like any other.
    pub fn of(&self, span: &str) -> Option<&Calibrated> {
        let span = if span == HOOKED_READ_SYSCALL {
            "read_syscall"
        } else {
            span
        };
        self.probes.iter().find(|probe| probe.span == span)
    }
}

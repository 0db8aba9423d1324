//! What `probe-user doctor` finds, and what runs carry of it.

use serde::{Deserialize, Serialize};

use crate::manifest::Environment;

/// Version of this shape.
pub const SCHEMA: &str = "hookprobe/doctor/1";

/// All that was looked at.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Diagnosis {
    /// [`SCHEMA`].
    pub schema: String,
    /// The machine.
    pub environment: Environment,
    /// Kinds of probes, and whether they work here; empty if that was not tried.
    pub attach_types: Vec<AttachType>,
    /// The machine, the rights, and who else is there.
    pub findings: Vec<Finding>,
    /// The ten recommendations of the paper, in its order.
    pub recommendations: Vec<Finding>,
}

/// A kind of probe.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct AttachType {
    /// As calibrations name it.
    pub name: String,
    /// Why it does not work here; null if it does: it was attached, and each call was seen.
    pub reason: Option<String>,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Finding {
    /// What was looked at: a short name that stays.
    pub name: String,
    /// How it stands.
    pub state: State,
    /// What was found.
    pub found: String,
    /// What to do about it; null if there is nothing to do.
    pub advice: Option<String>,
}

/// How something stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// As it should be.
    Pass,
    /// It cannot be told from here.
    Unknown,
    /// Results may suffer.
    Warn,
    /// Results will suffer, or there will be none.
    Fail,
}

impl State {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Unknown => "unknown",
            Self::Warn => "warn",
            Self::Fail => "fail",
        }
    }
}

impl Finding {
    /// As it should be.
    pub fn pass(name: &str, found: impl Into<String>) -> Self {
        Self::new(name, State::Pass, found.into(), None)
    }

    /// It cannot be told; `advice` says how it could.
    pub fn unknown(name: &str, found: impl Into<String>, advice: impl Into<String>) -> Self {
        Self::new(name, State::Unknown, found.into(), Some(advice.into()))
    }

    /// Results may suffer.
    pub fn warn(name: &str, found: impl Into<String>, advice: impl Into<String>) -> Self {
        Self::new(name, State::Warn, found.into(), Some(advice.into()))
    }

    /// Results will suffer.
    pub fn fail(name: &str, found: impl Into<String>, advice: impl Into<String>) -> Self {
        Self::new(name, State::Fail, found.into(), Some(advice.into()))
    }

    fn new(name: &str, state: State, found: String, advice: Option<String>) -> Self {
        Self {
            name: name.to_owned(),
            state,
            found,
            advice,
        }
    }
}

/// What was found right before a run, and right after it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Checkups {
    /// Before the servers were started.
    pub before: Vec<Finding>,
    /// After the last request; empty if the run did not come so far.
    pub after: Vec<Finding>,
}

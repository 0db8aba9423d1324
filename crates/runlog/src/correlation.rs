//! What `probe-user correlate --json` prints.

use serde::{Deserialize, Serialize};

use crate::analysis::{Budget, Join};

/// Version of this shape.
pub const SCHEMA: &str = "hookprobe/correlation/1";

/// Records joined to requests after the fact.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Correlation {
    /// [`SCHEMA`].
    pub schema: String,
    /// Whether a log was cut short. Its complete rows were joined.
    pub cut_short: bool,
    /// How records were joined to requests.
    pub join: Join,
    /// What response times of the hooked arms are made of; only arms with requests that count.
    pub budgets: Vec<Budget>,
}

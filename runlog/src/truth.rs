//! What `probe-user truth` finds: delays that the hook was told to inject against what the layers
//! measure. `truth.json`, and `probe-user truth --json`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::analysis::Ledger;
use crate::estimate::Estimate;
use crate::manifest::{Environment, Placement};

/// Version of this shape.
pub const SCHEMA: &str = "hookprobe/truth/1";

/// Injected against measured delays.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Truth {
    /// [`SCHEMA`].
    pub schema: String,
    /// Why the run ended early, or null.
    pub cut_short: Option<String>,
    /// Whether every delay was found within the tolerance, and the ledger balances.
    pub holds: bool,
    /// One entry a delay.
    pub delays: Vec<DelayFound>,
    /// Where every probe hit went.
    pub ledger: Option<Ledger>,
    /// The machine.
    pub environment: Environment,
    /// Which CPUs did what.
    pub placement: Placement,
}

/// One injected delay, against the arm with a delay of zero in the same run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DelayFound {
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
    /// Whether both estimates are within their tolerance.
    pub holds: bool,
}

//! What `probe-user validate truth` finds: delays that stand behind a hook against what the layers measure of them.
//! `truth-blind.json` is written before the key is looked at, `truth.json` after.

use serde::{Deserialize, Serialize};

use crate::analysis::Ledger;
use crate::estimate::Estimate;
use crate::manifest::{Environment, Placement};

/// Version of [`Blind`].
pub const BLIND_SCHEMA: &str = "hookprobe/truth-blind/2";
/// Version of [`Truth`].
pub const SCHEMA: &str = "hookprobe/truth/3";
/// Version of [`Coverage`].
pub const COVERAGE_SCHEMA: &str = "hookprobe/coverage/2";

/// What was estimated of arms whose delays were not known.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Blind {
    /// [`BLIND_SCHEMA`].
    pub schema: String,
    /// One entry an arm with a delay, in the order in which the arms were drawn up.
    pub arms: Vec<BlindArm>,
}

/// An arm with an unknown delay, against the arm `on`, which has none.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct BlindArm {
    /// Its name, which says nothing.
    pub arm: String,
    /// What a request takes more around the call behind the hook, by the bracket's records.
    pub in_situ: Option<Estimate>,
    /// The same by eBPF; null without probes.
    pub in_situ_ebpf: Option<Estimate>,
    /// What its response takes longer, probes detached.
    #[serde(rename = "macro")]
    pub macro_: Option<Estimate>,
}

/// Injected against measured delays.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Truth {
    /// [`SCHEMA`].
    pub schema: String,
    /// Why the run ended early, or null.
    pub cut_short: Option<String>,
    /// Why the result is not usable, whatever it says; else empty.
    pub not_usable: Vec<String>,
    /// What else speaks against it.
    pub warnings: Vec<String>,
    /// The worst of what was found of any delay, in any layer, and of the slope; `unresolved`, too, if `detectable` is above
    /// the shortest delay.
    pub finding: Finding,
    /// Whether that is `found`, and the run is complete and usable.
    pub holds: bool,
    /// One entry a delay, in ascending order.
    pub delays: Vec<DelayFound>,
    /// Nanoseconds of response time for one nanosecond of delay, over all delays: 1 is right.
    pub slope: Seen,
    /// The smallest delay that the macro layer of a run like this one detects; null if no interval was found.
    pub detectable: Option<Detectable>,
    /// Where every probe hit went; null without probes.
    pub ledger: Option<Ledger>,
    /// The machine.
    pub environment: Environment,
    /// Which CPUs did what.
    pub placement: Placement,
}

/// What the measurement says of something that is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Finding {
    /// The 95 % interval lies within the tolerance, and above 0.
    Found,
    /// It reaches beyond, or there is none: this run cannot tell.
    Unresolved,
    /// An interval that is wide enough for all rows of the run together lies beyond tolerance and limit.
    Missed,
}

/// One injected delay.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct DelayFound {
    /// Name of the arm: its estimates are those of `truth-blind.json`.
    pub arm: String,
    /// What was asked for, in nanoseconds.
    pub asked_ns: u64,
    /// Whether its length was measured, in front of the hook. Otherwise what was asked for stands in for it.
    pub is_measured: bool,
    /// By the bracket's records, against the median length.
    pub in_situ: Seen,
    /// By eBPF, medians against the median length; null without probes.
    pub in_situ_ebpf: Option<Seen>,
    /// End to end, against the median length of undisturbed requests, or the mean length of all; the estimand says which.
    #[serde(rename = "macro")]
    pub macro_: Seen,
}

impl DelayFound {
    /// What each layer sees of it.
    pub fn layers(&self) -> impl Iterator<Item = (&'static str, &Seen)> {
        let ebpf = self.in_situ_ebpf.as_ref();
        [("in situ", &self.in_situ)]
            .into_iter()
            .chain(ebpf.map(|seen| ("in situ, eBPF", seen)))
            .chain([("macro", &self.macro_)])
    }
}

/// An estimate held against what is known.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Seen {
    /// What is right, in the unit of the estimate.
    pub truth: f64,
    /// How far off the estimate may be to be found.
    pub tolerance: f64,
    /// How much more than the truth is not missed yet, as a machine may add to a delay. Less is, beyond the tolerance.
    pub limit: f64,
    /// It; null if there is none.
    pub estimate: Option<Estimate>,
    /// What it says.
    pub finding: Finding,
}

/// The smallest delay that would have been detected.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Detectable {
    /// It, in nanoseconds.
    pub ns: f64,
    /// With which probability.
    pub power: f64,
    /// How it was found.
    pub method: String,
}

/// How often the macro intervals of short runs hold the truth.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Coverage {
    /// [`COVERAGE_SCHEMA`].
    pub schema: String,
    /// Why it ended early, or null.
    pub cut_short: Option<String>,
    /// The runs.
    pub runs: Vec<CoverageRun>,
    /// How many intervals miss the delay that was injected.
    pub missed: u32,
    /// How many may: intervals that each miss with a probability of 5 % miss more often than this in
    /// less than 2.5 % of all such series.
    pub allowed: u32,
    /// Whether no more missed.
    pub holds: bool,
    /// The machine.
    pub environment: Environment,
    /// Which CPUs did what.
    pub placement: Placement,
}

/// One short run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct CoverageRun {
    /// Number of the run.
    pub run: u32,
    /// Seed of its draw.
    pub seed: u64,
    /// The delay that was asked for, in nanoseconds.
    pub asked_ns: u64,
    /// How long it lasted, by the mean of what was measured in front of the hook.
    pub lasted_ns: f64,
    /// What the response takes longer than that of the arm without delay.
    #[serde(rename = "macro")]
    pub macro_: Estimate,
    /// Whether its interval holds the delay.
    pub covers: bool,
}

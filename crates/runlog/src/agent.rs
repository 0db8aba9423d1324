//! What `probe-user agent` answers at `/v1/arms`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::analysis::Ledger;
use crate::clock::Clock;
use crate::manifest::Probes;
use crate::trace::SpanSummary;

/// Version of this shape.
pub const SCHEMA: &str = "hookprobe/agent-arms/1";

/// The kind of spans of what the hook adds to calls of one arm of a trial.
pub fn hook_overhead_of(trial_arm: &str) -> String {
    format!("hook_overhead.{trial_arm}")
}

/// What an agent watches, and what it has seen since it was started.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Arms {
    /// [`SCHEMA`].
    pub schema: String,
    /// The node, by `--node` or its own name; empty in what older versions wrote.
    #[serde(default)]
    pub node: String,
    /// Which clock instants are on.
    #[serde(default)]
    pub clock: Option<Clock>,
    /// When the probes were attached, on `CLOCK_MONOTONIC`.
    #[serde(default)]
    pub attached_ns: u64,
    /// When this was taken.
    #[serde(default)]
    pub taken_ns: u64,
    /// Since when the probes are attached, in seconds. Nothing before is in any figure.
    pub watching_s: f64,
    /// What there is to know of the agent before this one; null without, or without `--state-file`.
    #[serde(default)]
    pub predecessor: Option<Predecessor>,
    /// The probes; empty where there are none.
    pub probes: Probes,
    /// Why there are no probes: then there is only what processes record in shared memory. Null where there are.
    #[serde(default)]
    pub probes_missing: Option<String>,
    /// One entry for each arm in each container, also of those whose processes have ended.
    pub arms: Vec<ArmInContainer>,
    /// Entries that were forgotten, as there was no room for new ones (`--max-series`). What they had counted is
    /// gone.
    pub forgotten: u64,
    /// Hook libraries that probes were attached to, over all time.
    pub attaches: u64,
    /// What could not be watched, by reason.
    pub failures: BTreeMap<String, u64>,
    /// Hits that the kernel has passed over, by the program that it did not run. They are no hits of a ledger.
    pub missed: BTreeMap<String, u64>,
    /// Hits of the hook's sites by processes of no arm.
    pub hits_of_other_processes: u64,
    /// What the agent takes itself.
    pub agent: OwnUse,
}

/// The agent that observed before this one, by what it has left in `--state-file`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Predecessor {
    /// For how long nobody observed between the two, in seconds: from when the other wrote last that it did. Null if
    /// what it has left is not used.
    pub gap_s: Option<f64>,
    /// Processes that both have observed. They are unobserved for the gap alone.
    pub processes: u64,
    /// Why what it has left is not used: it is of another boot, say. Null if it is.
    pub ignored: Option<String>,
}

/// One arm in one container.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ArmInContainer {
    /// The arm.
    pub arm: String,
    /// The container, by the first twelve digits of its id; empty outside of containers.
    pub container: String,
    /// UID of its Kubernetes pod; empty outside of pods.
    pub pod: String,
    /// Whether it has processes, and all of them are observed.
    pub attached: bool,
    /// Its processes that run.
    pub processes: Vec<WatchedProcess>,
    /// How many others have ended, or execute another program now.
    pub ended_processes: u64,
    /// How long processes of it ran before they were observed, in seconds, summed up.
    pub unobserved_s: f64,
    /// Spans by kind; only kinds that occurred. What processes of a trial record in shared memory is `hook_overhead` by arm of
    /// that trial: `hook_overhead.on`.
    pub spans: BTreeMap<String, SpanSummary>,
    /// Where every probe hit went. While calls go on it is read while they are counted: the hits that have no
    /// outcome may then differ from those in flight by one for each thread, and it balances all the same.
    pub ledger: Ledger,
}

/// A process of an arm.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct WatchedProcess {
    /// Its number, as the agent sees it.
    pub pid: i32,
    /// Its executable, as the process sees it.
    pub executable: String,
    /// The hook that it has loaded, or null.
    pub hook: Option<String>,
    /// Number of that library in this agent, or null. Processes with the same number share one file, and one attach.
    pub library: Option<u64>,
    /// Whether the calls that it records in shared memory are read. They are then in no other figure of hooks.
    #[serde(default)]
    pub shared_memory: bool,
    /// Why it is not observed, or null when it is.
    pub trouble: Option<String>,
    /// How long it ran before it was observed, in seconds: from its start, or from when an agent before this one
    /// observed it last (`--state-file`).
    pub unobserved_s: f64,
}

/// What the agent itself takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct OwnUse {
    /// CPU time since its start, in seconds.
    pub cpu_s: f64,
    /// Resident memory, in bytes. The kernel's memory for the histograms is in `probes`.
    pub resident_bytes: u64,
}

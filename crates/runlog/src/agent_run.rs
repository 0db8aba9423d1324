//! A run that an agent takes part in: what `/v1/runs` is asked and answers, and `agent-run.json`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::analysis::{Budget, Clocks, Join, Ledger};
use crate::clock::Clock;
use crate::load_api::NamedUrl;
use crate::manifest::Schedule;
use crate::summary::{Latency, Load, LoadSummary};
use crate::trace::SpanSummary;
use crate::trial::TrialResult;

/// Version of these shapes.
pub const SCHEMA: &str = "hookprobe/agent-run/1";

/// What a load generator is about to do: the body of `POST /v1/runs`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Announcement {
    /// The arms, in the order of the request log's numbers. The agent knows its own by the same names.
    pub arms: Vec<NamedUrl>,
    /// How requests will be laid out.
    pub schedule: Schedule,
    /// How they will be sent.
    pub load: Option<Load>,
    /// Requests that are planned, of all arms together; null where time ends the run.
    pub requests: Option<u64>,
    /// In a trial, whose arms share processes: the agent's arm that all these processes are of. Null otherwise.
    #[serde(default)]
    pub server: Option<String>,
    /// Which clock the request log's instants are of; null where that was not found out.
    pub clock: Option<Clock>,
}

/// What the agent's clock says: the answer of `/v1/clock`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ClockReading {
    /// `CLOCK_MONOTONIC` when the agent answered, in nanoseconds.
    pub monotonic_ns: u64,
    /// Which clock that is; null where that was not found out.
    pub clock: Option<Clock>,
}

/// How much of the load generator's logs there is, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct LogBytes {
    /// Of `requests.npy`.
    pub requests: u64,
    /// Of `connections-client.npy`.
    pub connections: u64,
}

impl LogBytes {
    /// Of both.
    pub fn all(self) -> u64 {
        self.requests.saturating_add(self.connections)
    }
}

/// The load has ended: the body of `POST /v1/runs/{id}/finish`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Finish {
    /// How long the logs are. The agent must have as much.
    pub bytes: LogBytes,
    /// The load generator's own summary, which becomes `load.json`.
    pub summary: LoadSummary,
}

/// Where a run stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum RunState {
    /// Spans are recorded, and the request log comes in.
    Recording,
    /// Records are joined to requests.
    Joining,
    /// It has a result.
    Complete,
    /// It ended before its load said so. What there was is kept, and joined as far as it goes.
    CutShort,
    /// It has no result. What there was is kept.
    Failed,
}

impl RunState {
    /// Whether the run has ended.
    pub fn is_over(self) -> bool {
        !matches!(self, Self::Recording | Self::Joining)
    }
}

/// A run: `agent-run.json`, and the answer of `/v1/runs/{id}`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct AgentRun {
    /// [`SCHEMA`].
    pub schema: String,
    /// The name of its folder.
    pub id: String,
    /// Where it stands.
    pub state: RunState,
    /// Why it was cut short or failed; null otherwise.
    pub reason: Option<String>,
    /// What the load generator announced.
    pub announced: Announcement,
    /// Processes of each arm that were observed when the run began.
    pub processes: BTreeMap<String, u64>,
    /// Wall-clock time at the start, in nanoseconds since 1970.
    pub started_unix_ns: u64,
    /// How much of the load generator's logs has come in. To go on with a log that was cut, go on there.
    pub received: LogBytes,
    /// What came out; null until then.
    pub result: Option<RunResult>,
}

/// What became of a run at its agent, as the load generator has it: `agent` in `load.json`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct AgentPart {
    /// The agent's address.
    pub url: String,
    /// The run, as the agent told last.
    pub run: Option<AgentRun>,
    /// What has failed on the way, for people; null if nothing has. The load itself went on.
    pub trouble: Option<String>,
    /// The most of the logs that was written and not yet at the agent, in bytes. Files hold it meanwhile.
    pub most_behind_bytes: u64,
    /// How long the rest of the logs took after the load had ended, in seconds.
    pub catch_up_s: f64,
}

/// A run in a list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct RunEntry {
    /// The name of its folder.
    pub id: String,
    /// Where it stands.
    pub state: RunState,
    /// Why it was cut short or failed; null otherwise.
    pub reason: Option<String>,
    /// Names of its arms.
    pub arms: Vec<String>,
    /// Wall-clock time at the start, in nanoseconds since 1970.
    pub started_unix_ns: u64,
    /// Whether its result may be used; null without one.
    pub usable: Option<bool>,
}

impl From<&AgentRun> for RunEntry {
    fn from(run: &AgentRun) -> Self {
        let arms = run.announced.arms.iter();
        Self {
            id: run.id.clone(),
            state: run.state,
            reason: run.reason.clone(),
            arms: arms.map(|arm| arm.name.clone()).collect(),
            started_unix_ns: run.started_unix_ns,
            usable: run.result.as_ref().map(|result| result.usable),
        }
    }
}

/// Runs, the newest first: the answer of `GET /v1/runs`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct RunEntries {
    /// All that are in the folder.
    pub runs: Vec<RunEntry>,
}

/// What came of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct RunResult {
    /// Whether there are no doubts.
    pub usable: bool,
    /// What is wrong with it, for people.
    pub doubts: Vec<String>,
    /// How long spans were recorded, in seconds.
    pub recorded_s: f64,
    /// One entry an arm, in the order of the announcement.
    pub arms: Vec<ArmResult>,
    /// What came of the trial, end to end and by the records in shared memory; null without one.
    #[serde(default)]
    pub trial: Option<Box<TrialResult>>,
    /// The clocks of its requests and records; null without a trial, or where nothing was recorded.
    #[serde(default)]
    pub clocks: Option<Clocks>,
}

/// What came of one arm.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ArmResult {
    /// Its name.
    pub arm: String,
    /// Whether a process of it has a hook loaded. Requests are joined to what the hook reports: without a hook there is
    /// nothing to join.
    pub hooked: bool,
    /// Requests in the log outside the warm-up, failed ones among them.
    pub requests: u64,
    /// Requests of the warm-up.
    pub warmup_requests: u64,
    /// Requests outside the warm-up without a complete 2xx response.
    pub errors: u64,
    /// Response times of the others, in an open loop from the planned instant on; null when there are none.
    pub latency_ns: Option<Latency>,
    /// Spans while the run was recorded, by kind, of the histograms; only kinds that occurred.
    pub spans: BTreeMap<String, SpanSummary>,
    /// Where every probe hit went meanwhile; of a trial, those of all arms.
    pub ledger: Ledger,
    /// Records that arrived and could not be written.
    pub not_written: u64,
    /// How long processes of the arm ran meanwhile before they were observed, in seconds, summed up.
    pub unobserved_s: f64,
    /// How requests, those of the warm-up too, found their hooked reads; null without a hook.
    pub join: Option<Join>,
    /// What a response time is made of; null where nothing was joined.
    pub budget: Option<Budget>,
}

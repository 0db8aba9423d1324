//! The JSON of `loadgen serve`'s API: what it is asked, and what it answers.

use serde::{Deserialize, Serialize};

use crate::live::Progress;
use crate::manifest::Schedule;
use crate::order::Order;
use crate::summary::LoadSummary;

/// Version of these shapes.
pub const SCHEMA: &str = "hookprobe/load-api/1";
/// The description of the interface in OpenAPI 3.1, which a test makes from the shapes below.
pub const OPENAPI: &str = include_str!("../../../docs/schema/load-api.openapi.json");

/// What the server is, and what it lets one do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Service {
    /// [`SCHEMA`].
    pub schema: String,
    /// Version of loadgen.
    pub version: String,
    /// The arms of its command line, in that order.
    pub arms: Vec<NamedUrl>,
    /// Where requests may go: URLs that begin with one of these. A path counts whole segments.
    pub allowed: Vec<String>,
    /// What a run may take.
    pub limits: Limits,
}

/// What a run may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Arms of a run.
    pub arms: usize,
    /// Requests of a run, over all arms. A run that would have more is refused.
    pub requests: u64,
    /// Seconds. A run that takes longer is stopped, and what was measured is kept.
    pub seconds: u64,
}

/// An arm: its name, and where its requests go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct NamedUrl {
    /// Letters, digits, `-`, `_`, `.` and `+`; at most 64.
    pub name: String,
    /// Begins with `http://`.
    pub url: String,
}

/// A run that is wanted. What is not given is as `loadgen run` has it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct StartRequest {
    /// One or more, with different names.
    pub arms: Vec<NamedUrl>,
    /// Requests of each arm.
    #[serde(default)]
    pub requests: Option<u64>,
    /// Seconds of load of each arm, over all its blocks; with `requests`, whichever comes first.
    #[serde(default)]
    pub duration_seconds: Option<f64>,
    /// Requests per second to each arm, whatever the server does: an open loop. Without it, a closed loop.
    #[serde(default)]
    pub rate: Option<f64>,
    /// In an open loop, `constant` or `poisson`.
    #[serde(default)]
    pub arrivals: Option<String>,
    /// In a closed loop, seconds from a response to the connection's next request.
    #[serde(default)]
    pub think_time_seconds: Option<f64>,
    /// Requests that a connection may have under way.
    #[serde(default)]
    pub pipeline: Option<u64>,
    /// Connections at a time.
    #[serde(default)]
    pub connections: Option<u64>,
    /// Blocks of each arm.
    #[serde(default)]
    pub blocks: Option<u64>,
    /// Order of the blocks; `trial` is refused, as it is for the command line only.
    #[serde(default)]
    pub order: Option<Order>,
    /// First requests of each arm that are left out of the summary.
    #[serde(default)]
    pub warmup: Option<u64>,
    /// Seconds after which a response is given up.
    #[serde(default)]
    pub timeout_seconds: Option<f64>,
    /// Seed of the random order.
    #[serde(default)]
    pub seed: Option<u64>,
}

/// Where a run stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum RunState {
    /// Requests are being sent.
    Running,
    /// It was told to stop, and writes its files.
    Stopping,
    /// It ran to its end.
    Complete,
    /// It ended early. What was measured is kept.
    CutShort,
    /// It ended without a summary. Its request log, if any, is in its folder.
    Failed,
}

/// A run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Run {
    /// The name of its folder.
    pub id: String,
    /// Where it stands.
    pub state: RunState,
    /// Why it ended early or failed; null otherwise.
    pub reason: Option<String>,
    /// Its arms, in order.
    pub arms: Vec<NamedUrl>,
    /// Requests that are planned, of all arms together; null where time ends the run, and for runs of
    /// before the server was started.
    pub planned_requests: Option<u64>,
    /// How its requests are laid out.
    pub schedule: Schedule,
    /// Wall-clock time at the start, in nanoseconds since 1970.
    pub started_unix_ns: u64,
    /// What came out; null until it has ended, and where it failed.
    pub summary: Option<LoadSummary>,
    /// What can be downloaded of it, from `/api/runs/{id}/files/{name}`.
    pub files: Vec<RunFile>,
}

/// A file of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct RunFile {
    /// Its name.
    pub name: String,
    /// What it is.
    pub kind: FileKind,
    /// The arm that it is of; null where it is of all.
    pub arm: Option<String>,
    /// How long it is.
    pub bytes: u64,
}

/// What a file of a run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum FileKind {
    /// The summary, as JSON.
    Summary,
    /// The paper's CSV: start and response time of each request that succeeded.
    Csv,
    /// HDR interval log of response times.
    Hlog,
    /// One row a request, as a NumPy array.
    Requests,
    /// One row a connection, as a NumPy array.
    Connections,
}

/// Runs, the newest first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct RunList {
    /// At most 200.
    pub runs: Vec<Run>,
}

/// How a run went, interval by interval.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct RunProgress {
    /// Where the run stands.
    pub state: RunState,
    /// Number of the first interval here.
    pub from: usize,
    /// Intervals from there on, one a second.
    pub intervals: Vec<Progress>,
}

/// Why something was refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Refusal {
    /// What was wrong, and what to do.
    pub error: String,
}

/// Proof that one may use the server, in exchange for a cookie.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct SessionRequest {
    /// The server's token.
    pub token: String,
}

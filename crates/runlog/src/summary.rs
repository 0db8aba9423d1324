//! What the load generator reports of a run: `load.json`, and `loadgen run --json`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::agent_run::AgentPart;
use crate::clock::Clock;
use crate::manifest::Schedule;

/// Version of this shape.
pub const SCHEMA: &str = "hookprobe/load/1";

/// The load generator's summary.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct LoadSummary {
    /// [`SCHEMA`].
    pub schema: String,
    /// Why the run ended early, or null when it ran to its end.
    pub cut_short: Option<String>,
    /// How requests were laid out.
    pub schedule: Schedule,
    /// Wall-clock time at the start, in nanoseconds since 1970.
    pub started_unix_ns: u64,
    /// `CLOCK_MONOTONIC` at the same instant.
    pub started_monotonic_ns: u64,
    /// Which clock the request log's instants are of; null where that was not found out.
    #[serde(default)]
    pub clock: Option<Clock>,
    /// How requests were sent; null in summaries of before this was recorded.
    #[serde(default)]
    pub load: Option<Load>,
    /// One entry an arm, in the order of the command line.
    pub arms: Vec<ArmLoad>,
    /// What an agent in the servers' machine has seen of the run (`--agent`); null without one.
    #[serde(default)]
    pub agent: Option<Box<AgentPart>>,
}

/// What decides when a request is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Model {
    /// A connection sends its next request after the response to the last: a slow server gets fewer.
    ClosedLoop,
    /// Requests are sent at planned instants, whatever the server does.
    OpenLoop,
}

/// How a time is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Spacing {
    /// Always the same.
    Constant,
    /// Exponentially distributed; as the spacing of arrivals, a Poisson process.
    Exponential,
}

/// How the requests of a run were sent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Load {
    /// Closed or open loop.
    pub model: Model,
    /// Open loop: planned requests per second.
    pub rate_per_second: Option<f64>,
    /// Open loop: the spacing of the planned instants.
    pub arrivals: Option<Spacing>,
    /// Closed loop: mean time from a response to the connection's next request.
    pub think_time_ns: u64,
    /// Closed loop: how think times were drawn.
    pub think_spacing: Option<Spacing>,
    /// Requests that a connection may have under way.
    pub pipeline: usize,
    /// Seconds of load per arm that were asked for, as nanoseconds; null where the number of requests
    /// decides alone.
    pub duration_ns: Option<u64>,
    /// How long a block may go on for what is under way at the end of its time.
    pub drain_ns: u64,
    /// How long a response may take.
    pub timeout_ns: u64,
    /// The CPU that the load generator was bound to (`--cpu`), or null.
    pub cpu: Option<usize>,
    /// Whether it spun instead of sleeping.
    pub spin: bool,
    /// Whether it was scheduled as `SCHED_BATCH`: on a core that it shares with the server, it then waits until the
    /// server has answered what it has.
    #[serde(default)]
    pub batch_scheduling: bool,
}

/// One arm of a [`LoadSummary`].
///
/// Figures are over requests that were sent with the probes detached and outside the warm-up: probes
/// slow the hooked arm down and no other, so a comparison of arms over both states would be biased. The
/// arm's CSV and HDR log leave requests with the probes attached out too; the request log has all.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ArmLoad {
    /// Name of the arm.
    pub name: String,
    /// Where its requests went.
    pub url: String,
    /// Requests outside the warm-up, failed and unfinished ones among them.
    pub requests: u64,
    /// Requests of the warm-up.
    pub warmup_requests: u64,
    /// Requests that were sent with the probes attached, warm-up or not. They are in `requests.npy`
    /// and in no other figure here.
    pub observed_requests: u64,
    /// Requests without a complete 2xx response.
    pub errors: u64,
    /// The errors by kind.
    pub errors_by_kind: BTreeMap<String, u64>,
    /// Requests that succeeded, per second of the arm's blocks. A block that was cut short lasts until
    /// the last of its requests that ended.
    pub requests_per_second: f64,
    /// Response times of requests that succeeded, in an open loop from the planned instant on; null when
    /// there are none.
    pub latency_ns: Option<Latency>,
    /// Open loop: the same requests from the instant of sending on. It leaves out how long they waited for
    /// a connection.
    #[serde(default)]
    pub latency_from_sent_ns: Option<Latency>,
    /// Open loop: how well the planned instants were kept.
    #[serde(default)]
    pub pacer: Option<Pacer>,
    /// Attempts to open a connection that failed, by kind; with the probes attached too. They are made
    /// again, and are no requests.
    #[serde(default)]
    pub failed_connects: BTreeMap<String, u64>,
}

/// How an open loop kept its plan. Warm-up is included; blocks with the probes attached are not.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Pacer {
    /// False when more than 1 % of the planned requests were late: then the load was not the planned one,
    /// and the arm's figures are not those of an open loop.
    pub open_loop: bool,
    /// A request that the load generator comes to later than this is late.
    pub limit_ns: u64,
    /// Requests that became due.
    pub planned_requests: u64,
    /// Of these, those that the load generator came to later than `limit_ns`. They were sent.
    pub late_requests: u64,
    /// Of these, those for which no connection was free when they were due. They waited for one.
    pub queued_requests: u64,
    /// Of these, those that were still waiting when their block ended. They are errors too.
    pub unsent_requests: u64,
    /// From the planned instant to the write of a request; for one that found no connection free, to the
    /// instant at which that was known. Null when nothing became due.
    pub lateness_ns: Option<Latency>,
}

impl Pacer {
    /// What every output says of an arm whose plan was not kept.
    pub fn mark(&self) -> Option<String> {
        let Self {
            open_loop,
            limit_ns,
            planned_requests,
            late_requests,
            ..
        } = self;
        (!open_loop).then(|| {
            format!(
                "NOT OPEN LOOP: the load generator came to {late_requests} of {planned_requests} planned \
                 requests more than {} ms late",
                *limit_ns as f64 / 1e6
            )
        })
    }
}

/// Times in nanoseconds. Quantiles carry the histogram's error of at most 0.8 %.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Latency {
    /// Exact mean.
    pub mean: f64,
    /// Median.
    pub p50: u64,
    /// 90th percentile.
    pub p90: u64,
    /// 99th percentile.
    pub p99: u64,
    /// 99.9th percentile.
    pub p999: u64,
    /// Largest.
    pub max: u64,
}

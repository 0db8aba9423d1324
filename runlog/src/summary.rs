//! What the load generator reports of a run: `load.json`, and `loadgen run --json`.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::clock::Clock;
use crate::manifest::Schedule;

/// Version of this shape.
pub const SCHEMA: &str = "hookprobe/load/1";

/// The load generator's summary.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
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
    /// One entry an arm, in the order of the command line.
    pub arms: Vec<ArmLoad>,
}

/// One arm of a [`LoadSummary`].
///
/// Figures are over requests that were sent with the probes detached and outside the warm-up: probes
/// slow the hooked arm down and no other, so a comparison of arms over both states would be biased. The
/// arm's CSV and HDR log leave requests with the probes attached out too; the request log has all.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
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
    /// Response times of requests that succeeded; null when there are none.
    pub latency_ns: Option<Latency>,
}

/// Response times in nanoseconds. Quantiles carry the histogram's error of at most 0.8 %.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
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

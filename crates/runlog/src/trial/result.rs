//! What came out of a trial, as a part of `analysis.json`.
//!
//! Each estimate is made in each process of the server by itself, and its interval is over processes; where there is one
//! alone, it is over that one's blocks, and the method says "in this process".

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::RecordLedger;
use crate::analysis::Agreement;
use crate::estimate::Estimate;

/// The result of a trial.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct TrialResult {
    /// How arms were drawn, as in the manifest.
    pub trial: String,
    /// Processes of the server that have requests which count.
    pub processes: usize,
    /// Response times are split here, in nanoseconds, into what is counted as body and as tail: 4 times the median of the
    /// warm-up, of the arm whose is longest; one for all arms and processes. Null without a warm-up.
    pub threshold_ns: Option<f64>,
    /// What each arm differs by from the arm `off`, by arm. That of `null` is the negative control.
    pub effects: BTreeMap<String, ArmEffect>,
    /// The same for requests that nothing disturbs; null where no two processes have enough of these.
    pub undisturbed: Option<Undisturbed>,
    /// What the hook takes in each process of the server by itself.
    pub by_process: Vec<ProcessEffect>,
    /// What quantiles of the response time of the arm `on` differ by from those of `off`.
    pub quantiles: Vec<QuantileEffect>,
    /// The positive control: delays that were injected, and what of them is seen end to end. Null without arms with
    /// delays.
    pub doses: Option<Doses>,
    /// Whether the arm of a request has an effect on other requests of the connection, by contrast. Empty without a
    /// threshold.
    pub carry_over: Vec<CarryOver>,
    /// Whether the intervals of one process hold what they say. Null without a threshold, or where no process has two blocks.
    pub rerandomisation: Option<Rerandomisation>,
    /// Whether both sides counted the same; null if the servers' counts are missing.
    pub counts: Option<CountsCheck>,
    /// The hook inside the server, by the bracket's records.
    pub in_situ: Option<BracketInSitu>,
    /// Why that is missing.
    pub in_situ_missing: Option<String>,
    /// Where a request of each arm takes longer than one of `off`, by arm.
    pub budgets: BTreeMap<String, DifferenceBudget>,
    /// In-situ overhead per request after the read, by eBPF minus by the bracket's records; null unless both are there.
    pub in_situ_sources_differ_by: Option<Estimate>,
    /// What came out by slices of time; null if arms were drawn by request.
    #[serde(default)]
    pub slices: Option<Box<SlicesResult>>,
}

impl TrialResult {
    /// Whether the servers told of the requests, as somebody else's load generator sent them: the trial gives these no size.
    pub fn is_server_log(&self) -> bool {
        self.slices.is_some() && !self.trial.split(' ').any(|word| word.starts_with("size="))
    }
}

/// What came out of arms by slices of time: all requests of a slice have one arm, so what one costs those that wait behind
/// it is in the result.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct SlicesResult {
    /// Length of the shorter slices, in nanoseconds. Every second round has slices twice as long.
    pub slice_ns: u64,
    /// What counts for nothing at the beginning of each slice: 5 times the 99th percentile of the response times of the warm-up,
    /// in nanoseconds.
    pub washout_ns: u64,
    /// That percentile, or that of the slowest arm in the run itself if it is longer, in nanoseconds; null without a warm-up.
    pub p99_ns: Option<f64>,
    /// Complete rounds: a slice of each arm.
    pub rounds: u64,
    /// Time per completed request of the arm `off`: the inverse of the throughput.
    pub per_completed: Option<Estimate>,
    /// What the time per completed request of each arm differs by from that of `off`, by arm. That of `null` is the negative
    /// control.
    pub effects: BTreeMap<String, Estimate>,
    /// Delays that were injected, and what they do to `per_completed`, the time per completed request, and to the `mean`, the
    /// median (`p50`) and the 99th percentile (`p99`) of response times: dose and response. The slope is the amplification, the ns
    /// of each for one ns in the hook at this load. Empty without arms with delays.
    pub responses: BTreeMap<String, Doses>,
    /// By how much the effect of the longest delay, or of the hook, is larger with twice the washout: nothing, if the washout
    /// is long enough.
    pub washout_doubled: Option<Estimate>,
    /// By how much it is larger in the longer slices: nothing, if slices are long enough.
    pub slices_doubled: Option<Estimate>,
    /// What a slice of that arm does to the slice behind it, which has an arm of its own: nothing, if what it leaves behind is gone
    /// with the washout. Against slices behind one of `off`.
    #[serde(default)]
    pub carry_over: Option<Estimate>,
    /// The share of requests whose calls had another arm than the slice that they were sent in, as when the server waited
    /// for them since the slice before; null without records.
    pub other_arm: Option<f64>,
}

/// What the response time of an arm differs by from that of another: in a trial of `off`, else of the baseline.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ArmEffect {
    /// Requests of the arm that count.
    pub requests: u64,
    /// Difference of medians.
    pub typical: Option<Estimate>,
    /// Difference of means of what lies below the threshold: of min(response time, threshold).
    pub body: Option<Estimate>,
    /// Difference of means of what lies above it.
    pub tail: Option<Estimate>,
    /// Difference of means: body and tail.
    pub mean: Option<Estimate>,
    /// Difference of the shares of requests that took longer than the threshold.
    pub share_above: Option<Estimate>,
}

/// What arms add to a request that nothing disturbs: that began as most do, before the hook could have an effect, and then took
/// as long as most of these. Of a cost that less than half of the requests have it says nothing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Undisturbed {
    /// The share of the requests that began undisturbed.
    pub share: f64,
    /// What each arm differs by from the arm `off`, by arm.
    pub effects: BTreeMap<String, UndisturbedEffect>,
    /// Delays that were injected, and what of them is seen. Null without arms with delays.
    pub doses: Option<Doses>,
    /// Whether the layers agree for such a request. Null without records.
    pub agreement: Option<Agreement>,
}

impl Undisturbed {
    /// What the hook adds: the effect of the arm `on`.
    pub fn of_hook(&self) -> Option<&UndisturbedEffect> {
        self.effects.get("on")
    }
}

/// What an arm adds to a request that nothing disturbs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct UndisturbedEffect {
    /// Requests of the arm that began undisturbed.
    pub requests: u64,
    /// Difference of the modes of their response times.
    pub end_to_end: Estimate,
    /// The same without the time in the hook; null without records.
    pub outside_call: Option<Estimate>,
}

/// What the hook takes in one process of the server. Processes differ, and keep it for as long as they live.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ProcessEffect {
    /// Number of the server.
    pub server: usize,
    /// Body of `on` minus that of `off`; its interval is over the blocks of this process.
    pub body: Estimate,
    /// Hook overhead of a request after the read, `on` minus `null`, by the bracket's records; likewise.
    pub in_situ: Option<Estimate>,
}

/// What a quantile of the response time differs by.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct QuantileEffect {
    /// The quantile, from 0 to 1.
    pub quantile: f64,
    /// Of `on` minus that of `off`.
    pub effect: Estimate,
}

/// The positive control.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Doses {
    /// The arms with delays, from the shortest to the longest.
    pub arms: Vec<Dose>,
    /// Nanoseconds of response time for one nanosecond of delay, by least squares through the origin; its interval must
    /// hold 1.
    pub slope: Option<Estimate>,
}

/// One arm of the positive control.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Dose {
    /// Its name.
    pub arm: String,
    /// How much longer than one of `on` a request was delayed: the mean of what was measured in front of the hook (for
    /// undisturbed requests, of the processes' medians), or what was asked for where there are no records. In nanoseconds.
    pub delay_ns: f64,
    /// Whether it was measured.
    pub is_measured: bool,
    /// What a request takes longer than one of `on`: in the body of the mean, if nothing disturbs it, or of what the response
    /// to doses is asked.
    pub effect: Estimate,
}

/// The effect of a request's arm on the response times of its neighbours on the connection.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct CarryOver {
    /// Which arms are held against the rest: `hooked`, or the name of the arm with the longest delay.
    pub contrast: String,
    /// By distance: the lead first, then lags 0 to 8.
    pub lags: Vec<LagEffect>,
    /// The sum of the lags from 0 on: the cost of a request when all requests are alike.
    pub steady: Option<Estimate>,
}

/// The effect on the request that comes so much later.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct LagEffect {
    /// Requests later: 0 is the request's own, -1 is the one before, where there must be none.
    pub lag: i32,
    /// On the body of the response time.
    pub effect: Estimate,
    /// Probability of one as large, were there none, corrected (Holm) for all lags but 0 of both contrasts; null at lag 0.
    pub p: Option<f64>,
}

/// Intervals of one process over its blocks for the difference of two arms that do the same, which were drawn again from the
/// requests that went past the hook. One that says 95 % must hold 0 in 95 of 100.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Rerandomisation {
    /// How often arms were drawn again, in each process.
    pub draws: usize,
    /// Intervals in all processes.
    pub intervals: u64,
    /// The share of them that hold 0.
    pub share_holding: f64,
}

/// Whether client and servers counted the same. There is no tolerance.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct CountsCheck {
    /// Each server and arm for which they did not.
    pub differing: Vec<DifferingCount>,
    /// Requests that the servers drew an arm for.
    pub requests: u64,
    /// Connections that the client opened.
    pub connections_opened: u64,
    /// Connections that the servers accepted: whoever looks whether they are up opens some more.
    pub connections_accepted: u64,
    /// First requests without a salt.
    pub without_salt: u64,
    /// Requests that did not begin where the one before should have ended.
    pub off_boundary: u64,
    /// Calls that read beyond the request that they began in.
    pub beyond_request: u64,
    /// Calls of arms with the hook that never got behind it.
    pub unreached: u64,
    /// Whether the hook never calls through the dynamic linker: none of its calls got behind it.
    pub never_reached: bool,
    /// Recorded calls of arms with the hook, by function.
    #[serde(default)]
    pub functions: BTreeMap<String, u64>,
    /// Records of calls that belong to no request of the log, to one of another arm, or to one that has another already; and
    /// requests that are logged with another arm than they were drawn.
    pub misplaced: u64,
    /// Share of the requests that count without a record, by arm; empty without records.
    pub without_record: BTreeMap<String, f64>,
    /// Where the records of calls went, of all servers.
    pub records: RecordLedger,
}

/// Requests of one arm to one server, as both sides counted them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct DifferingCount {
    /// Number of the server.
    pub server: usize,
    /// Name of the arm; `first` for the first requests of connections, which belong to none.
    pub arm: String,
    /// Requests that the client has an answer to.
    pub answered: u64,
    /// Requests that failed or were cut off: the server may have read them or not.
    pub uncertain: u64,
    /// What the server counted; `answered` at the least, and at most with `uncertain`.
    pub drawn: u64,
}

/// What the hook takes inside the server, of one request: of the arm `on`, less the same of `null`, which is what the bracket
/// takes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct BracketInSitu {
    /// Whether the server waits for requests inside of the call: what the hook does before the read then falls into
    /// idle time, and is in no response time.
    pub blocking_reads: bool,
    /// Before and after the read.
    pub whole: Overhead,
    /// After the read alone.
    pub after_read: Overhead,
    /// Calls of a request.
    pub calls_per_request: Option<Estimate>,
    /// Bytes that a call returned.
    pub bytes_per_call: Option<Estimate>,
}

/// Hook overhead of all calls of a request.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Overhead {
    /// Difference of means, clipped at the threshold of the trial, so that rare costs count in all layers alike.
    pub mean: Option<Estimate>,
    /// Difference of medians.
    pub typical: Option<Estimate>,
}

/// Where a request takes longer than one of the arm `off`, in differences of means. The lines add up to the total.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct DifferenceBudget {
    /// Requests of the arm behind it: those with a record.
    pub requests: u64,
    /// In the order of the path: `before_return`, from sending until the read has returned inside the hook; `hook`, from
    /// then until the hook has returned, with any delay; `after_call`, from then until the response is there.
    pub lines: Vec<DifferenceLine>,
    /// Body of the same requests.
    pub total: Estimate,
    /// The total without the line `hook`.
    pub outside_call: Estimate,
}

/// One line of a [`DifferenceBudget`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct DifferenceLine {
    /// `before_return`, `hook` or `after_call`.
    pub name: String,
    /// The difference.
    pub difference: Estimate,
}

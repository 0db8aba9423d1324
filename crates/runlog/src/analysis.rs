//! What came out of a run: `analysis.json`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::doctor::Finding;
use crate::estimate::Estimate;
use crate::manifest::{Environment, Placement, Probes};
use crate::trial::{ArmEffect, TrialResult};

/// Version of this shape.
pub const SCHEMA: &str = "hookprobe/analysis/1";

/// The results of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Analysis {
    /// [`SCHEMA`].
    pub schema: String,
    /// Why the run ended early, or null when it ran to its end.
    pub cut_short: Option<String>,
    /// Reasons not to use the result; empty when it is usable.
    pub not_usable: Vec<String>,
    /// What to beware of in reading the result, usable or not.
    pub warnings: Vec<String>,
    /// Share of the sorted values that the budget's means leave out at each end, and those of calls in the micro layer. In runs of
    /// earlier versions that of every layer.
    pub trim_each_end: f64,
    /// The hook in isolation.
    pub micro: Micro,
    /// The hook inside the running server.
    pub in_situ: InSitu,
    /// End to end, as the client sees it, from blocks with the probes detached.
    #[serde(rename = "macro")]
    pub macro_: Macro,
    /// What came out request by request, where arms were drawn so; null in other runs.
    #[serde(default)]
    pub trial: Option<Box<TrialResult>>,
    /// What the attached probes add to the hooked arm's response time.
    pub probe_effect: Option<Estimate>,
    /// Whether the layers agree: on the mean cost of a request.
    pub agreement: Option<Agreement>,
    /// Whether they agree on a typical request; null in a trial, whose undisturbed requests have theirs, and in runs of
    /// earlier versions.
    #[serde(default)]
    pub agreement_typical: Option<Agreement>,
    /// What the hooked arm's response time is made of, probes attached.
    pub budget: Option<Budget>,
    /// Which probes were used, and which were passed over; null without probes.
    pub probes: Option<Probes>,
    /// Where every probe hit went; null without probes.
    pub ledger: Option<Ledger>,
    /// How records were joined to requests; null without probes.
    pub join: Option<Join>,
    /// What the load generator sent, by arm.
    pub requests: BTreeMap<String, Requests>,
    /// The machine.
    pub environment: Environment,
    /// Which CPUs did what.
    pub placement: Placement,
    /// The ten recommendations of the paper, as this run keeps them; empty in runs that were made before they
    /// were looked at.
    #[serde(default)]
    pub recommendations: Vec<Finding>,
}

impl Analysis {
    /// Whether nothing speaks against using the result.
    pub fn is_usable(&self) -> bool {
        self.not_usable.is_empty()
    }

    /// Whether the end-to-end layer is the time per completed request, as by slices of time. In an open loop it is not: there, that is
    /// the time between two requests that are sent, whatever the arm.
    pub fn is_by_completed_request(&self) -> bool {
        let trial = self.trial.as_ref();
        let slices = trial.and_then(|trial| trial.slices.as_ref());
        let effect = slices.and_then(|slices| slices.effects.get("on"));
        effect.is_some() && effect == self.macro_.difference.as_ref()
    }
}

/// The requests of an arm, warm-up and both states of the probes included.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Requests {
    /// All of them.
    pub sent: u64,
    /// Those without a complete 2xx response, by kind.
    pub failed: BTreeMap<String, u64>,
}

impl Requests {
    /// Whether not one of them has such a response.
    pub fn have_all_failed(&self) -> bool {
        self.failed.values().sum::<u64>() == self.sent
    }
}

/// The micro layer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Micro {
    /// What the hook adds to one `read` in a tight loop, typically: by trimmed means.
    pub hook_overhead: Option<Estimate>,
    /// The same as mean cost: of all calls, each clipped at 100 µs.
    #[serde(default)]
    pub hook_overhead_mean: Option<Estimate>,
    /// The same, with L1, L2 and branch predictors filled by others before each call.
    pub hook_overhead_cold: Option<Estimate>,
    /// How calls were made cold.
    pub cold: Option<String>,
    /// Why there is none.
    pub missing: Option<String>,
}

/// The in-situ layer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct InSitu {
    /// What the hook adds to one `read`, as it times itself: mean cost.
    pub hook_overhead: Option<Estimate>,
    /// What it typically adds: by medians.
    #[serde(default)]
    pub hook_overhead_typical: Option<Estimate>,
    /// The mean cost, less what timing adds: one clock read.
    pub hook_overhead_corrected: Option<Estimate>,
    /// `read(2)` inside the kernel, for the same calls.
    pub read_syscall: Option<Estimate>,
    /// The same, less what the kernel pair adds.
    pub read_syscall_corrected: Option<Estimate>,
    /// Hooked reads per request.
    pub calls_per_request: Option<Estimate>,
    /// Bytes of requests that one hooked read returned.
    #[serde(default)]
    pub bytes_per_call: Option<Estimate>,
    /// Why the layer is missing.
    pub missing: Option<String>,
}

/// The macro layer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Macro {
    /// Response times are split here, in nanoseconds, into what is counted as body and as tail; one for all arms. Null in a trial,
    /// which says so itself, and in runs of earlier versions.
    #[serde(default)]
    pub threshold_ns: Option<f64>,
    /// What each arm differs by from the baseline, by arm. Empty in a trial, which has its own, and in runs of earlier versions.
    #[serde(default)]
    pub effects: BTreeMap<String, ArmEffect>,
    /// Response time of the hooked arm minus the baseline's: the body of the mean cost.
    pub difference: Option<Estimate>,
    /// Response time of the second baseline minus the first's: what a difference of nothing looks
    /// like in this run.
    pub a_a_difference: Option<Estimate>,
    /// Response time of each further arm minus the baseline's, by arm.
    #[serde(default)]
    pub other_differences: BTreeMap<String, Estimate>,
    /// Mean response time of each arm.
    pub response_time: BTreeMap<String, Estimate>,
    /// Why the layer is missing.
    pub missing: Option<String>,
}

/// Whether in-situ overhead and macro difference agree.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Agreement {
    /// In-situ overhead of all calls of a request.
    pub in_situ_per_request: Estimate,
    /// Macro difference minus that.
    pub unexplained: Estimate,
    /// Half of the width of that interval, in nanoseconds: smaller differences between the layers
    /// cannot be seen in this run.
    pub resolution_ns: f64,
    /// The share of the macro difference that in-situ overhead explains; null if that difference is not
    /// told from 0, so that any share might be.
    pub explained_share: Option<Estimate>,
    /// Lines of the budget that can be seen in the baseline too: read times of the hooked arm minus the
    /// baseline's, per read, probes attached.
    pub lines: BTreeMap<String, Estimate>,
    /// In runs of earlier versions: about how many more blocks an arm would have 80 % power to see a difference as large as the
    /// hook's cost.
    #[serde(default)]
    pub blocks_more: Option<usize>,
    /// How many observations a run needs to show with a probability of 80 % that the layers agree, if they do; null unless the
    /// verdict is `unresolved`, and where no number within reason is enough.
    #[serde(default)]
    pub needed: Option<Needed>,
    /// The layers agree if the whole interval of what is unexplained lies within this many nanoseconds of 0, and differ if all of it
    /// lies beyond; null in runs of earlier versions, but for trials.
    #[serde(default)]
    pub margin_ns: Option<f64>,
    /// The layers differ by at most this much, in nanoseconds: the farther end of the interval.
    #[serde(default)]
    pub within_ns: Option<f64>,
    /// Two arms that do the same, in nanoseconds: the farther end of their interval. This procedure makes at most so much of nothing.
    #[serde(default)]
    pub a_a_within_ns: Option<f64>,
    /// What follows.
    pub verdict: Verdict,
    /// Why no verdict is given.
    pub withheld: Vec<String>,
}

/// What a run needs to show that the layers agree.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Needed {
    /// So many
    pub observations: usize,
    /// of these, each as long as now,
    pub of: String,
    /// instead of so many.
    pub now: usize,
}

/// Whether the layers agree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// The interval of the unexplained difference lies within the margin, and so does that of two arms that do the same.
    Agree,
    /// Neither is shown.
    Unresolved,
    /// The interval lies beyond the margin.
    Differ,
    /// Something speaks against any verdict. The estimates stand as they are.
    Withheld,
}

/// The budget of a request. The lines are means over the same requests, so they add up.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Budget {
    /// Name of the arm.
    pub arm: String,
    /// Requests behind it: joined, complete, and not trimmed by their response time.
    pub requests: u64,
    /// Mean response time in nanoseconds.
    pub end_to_end_ns: f64,
    /// What it is made of, in the order of the path.
    pub lines: Vec<BudgetLine>,
    /// What slow and not so slow requests are made of.
    pub quantiles: Vec<BudgetAt>,
    /// Whether slow requests have slow hooks.
    pub association: Option<Association>,
    /// Requests behind it that found the server waiting inside `read(2)`: their `read_syscall` holds what
    /// it took the server to wake.
    pub waited_for: u64,
}

/// What requests around a quantile of the response time are made of. Nothing is trimmed here.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct BudgetAt {
    /// The quantile, from 0 to 1.
    pub quantile: f64,
    /// The band around it: requests that are slower than this share of all,
    pub from: f64,
    /// and no slower than that. Whole buckets of 0.8 % of the response time are taken.
    pub to: f64,
    /// Requests in the band.
    pub requests: u64,
    /// Their mean response time in nanoseconds.
    pub end_to_end_ns: f64,
    /// What it is made of.
    pub lines: Vec<BudgetLine>,
}

/// Whether slow requests have slow hooks: an association, no effect, as what disturbs a request slows its hook and all else alike.
/// Of each block it is one value; the intervals are over blocks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Association {
    /// Spearman's rank correlation of response time and hook overhead.
    pub rank_correlation: Estimate,
    /// Theil-Sen slope of response time on hook overhead. It is confounded by what slows both, and so not by how much a nanosecond
    /// in the hook delays the response.
    pub slope: Estimate,
    /// The most requests of a block that entered it, evenly spaced.
    pub most_requests_of_a_block: usize,
}

/// One line of a [`Budget`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct BudgetLine {
    /// `hook_overhead`, `read_syscall`, `application`, `write_syscall` or `rest`.
    pub name: String,
    /// Mean in nanoseconds.
    pub mean_ns: f64,
}

/// Where every probe hit went.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Ledger {
    /// Probe hits.
    pub hits: u64,
    /// Hits that became part of a histogram, and of a record where records were asked for.
    pub recorded: u64,
    /// Hits whose record found the ring buffer full.
    pub dropped: u64,
    /// Hits without their counterpart.
    pub unpaired: u64,
    /// Of the unpaired: hits whose counterpart should have been seen, as neither an attach nor a detach came in between.
    #[serde(default)]
    pub unexplained: u64,
    /// Spans that were open when the probes were detached.
    pub in_flight: u64,
    /// Hits that the kernel passed over without running a program, and that may have been of traced processes. They are no
    /// hits. Those that others than traced processes must have had are in `programs` and `causes` alone.
    #[serde(default)]
    pub missed: u64,
    /// Whether everything that the kernel was asked to see is accounted for: hits equal the sum of recorded, dropped,
    /// unpaired and in flight for every probe, none was missed, none is unexplained, every record that the kernel wrote
    /// arrived, and the histograms hold as many spans as were recorded.
    pub balanced: bool,
    /// Hits of the hook's sites, and of the function, by processes that are not traced. They are in no
    /// other figure.
    pub hits_of_other_processes: u64,
    /// Records that the kernel wrote to the ring buffer. One that is of a hooked read and of its `read(2)` counts
    /// as two.
    pub records_written: u64,
    /// Records that arrived, counted likewise.
    pub records_received: u64,
    /// The same by probe.
    pub probes: BTreeMap<String, LedgerRow>,
    /// Why hits were dropped or unpaired, and what else was noticed; only causes that occurred.
    pub causes: BTreeMap<String, u64>,
    /// What the kernel says of the programs that ran, by name.
    pub programs: BTreeMap<String, ProgramRuns>,
}

impl Ledger {
    /// Whether nothing happened that no program saw, as far as is known. What is seen of a result without it is a part of
    /// unknown size.
    pub fn saw_everything(&self) -> bool {
        self.missed == 0 && self.unexplained == 0
    }

    /// Adds hits of a probe that the kernel passed over.
    pub fn add_missed(&mut self, probe: &str, hits: u64) {
        self.probes.entry(probe.to_owned()).or_default().missed += hits;
        self.missed += hits;
        self.balanced &= self.saw_everything();
    }
}

/// What the kernel says of an eBPF program.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ProgramRuns {
    /// How often it ran; null unless asked for, as counting costs time too (`--program-stats`).
    pub runs: Option<u64>,
    /// Time spent in it, in nanoseconds; null likewise.
    pub run_time_ns: Option<u64>,
    /// Hits that the kernel passed over, as the program was running on that CPU already, since it was loaded. They are
    /// no hits of the ledger.
    pub recursion_misses: u64,
}

/// One probe's share of a [`Ledger`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct LedgerRow {
    /// Probe hits.
    pub hits: u64,
    /// As in [`Ledger`].
    pub recorded: u64,
    /// As in [`Ledger`].
    pub dropped: u64,
    /// As in [`Ledger`].
    pub unpaired: u64,
    /// As in [`Ledger`].
    #[serde(default)]
    pub unexplained: u64,
    /// As in [`Ledger`].
    pub in_flight: u64,
    /// As in [`Ledger`].
    #[serde(default)]
    pub missed: u64,
}

impl LedgerRow {
    /// Whether every hit is accounted for.
    pub fn is_balanced(&self) -> bool {
        self.adds_up() && self.missed == 0 && self.unexplained == 0
    }

    /// Whether every hit that was seen has its place.
    pub fn adds_up(&self) -> bool {
        self.hits == self.recorded + self.dropped + self.unpaired + self.in_flight
    }
}

/// How hooked reads were joined to requests.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Join {
    /// Requests to join: those to hooked arms while the probes were attached.
    pub requests: u64,
    /// Requests whose every byte was found in records.
    pub matched: u64,
    /// The others, by cause.
    pub unmatched: BTreeMap<String, u64>,
    /// Matched requests of which a read ended outside of [sent, done].
    pub outside_sent_done: u64,
    /// Matched requests of which a read returned bytes of another request too (pipelining).
    pub shared: u64,
    /// Matched requests that were sent while the server was waiting for them inside `read(2)`.
    pub waited_for: u64,
    /// Reads without bytes for which no client waited: the end of the stream, or looking for the next
    /// request. They are in no figure of a request.
    pub reads_after_done: u64,
    /// Reads that returned bytes and belong to no logged request.
    pub reads_without_request: u64,
    /// Requests that were sent before the probes were attached, or answered after they were detached.
    /// They are not to be joined.
    pub outside_attach: u64,
    /// The client's connections, by what they were recognised by.
    pub connections: JoinConnections,
    /// The clocks of both sides; null when no request was matched.
    pub clocks: Option<Clocks>,
}

/// How the client's connections found those of the server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct JoinConnections {
    /// By the client's port, which both sides know.
    pub by_port: u64,
    /// By bytes and times: one connection alone had reads that fit all its requests, and the reads
    /// fitted no other connection.
    pub by_content: u64,
    /// Not at all.
    pub unmatched: u64,
}

/// The clocks that requests and records have their instants from.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Clocks {
    /// Whether both are one clock.
    pub relation: ClockRelation,
    /// The server's clock minus the client's: 0 with one clock, else the middle of what all requests
    /// allow.
    pub offset_ns: f64,
    /// The true offset is no farther from that, if the clocks went equally fast. With one clock: how far
    /// off it could have been unnoticed.
    pub bound_ns: f64,
    /// By how much the offset changed during the run at the least; 0 if one offset fits all.
    pub drift_ns: f64,
}

/// Whether requests and records have their instants from one clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum ClockRelation {
    /// They do: same machine, same time namespace. Read exits within [sent, done] check the join.
    One,
    /// They do not. The offset is estimated from read exits and [sent, done], and what contradicts it is
    /// counted as outside.
    Two,
    /// Nobody wrote down which clocks they are; the instants fit one clock.
    AssumedOne,
    /// Nobody wrote down which clocks they are; the instants do not fit one clock.
    AssumedTwo,
}

#[cfg(test)]
mod tests;

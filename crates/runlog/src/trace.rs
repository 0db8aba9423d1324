//! What `probe-user trace --json` prints.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use crate::analysis::Ledger;
use crate::calibration::Calibration;
use crate::clock::Clock;
use crate::exact::Exact;
use crate::manifest::Probes;

/// Version of this shape.
pub const SCHEMA: &str = "hookprobe/trace/1";

/// What was seen of the traced processes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Trace {
    /// [`SCHEMA`].
    pub schema: String,
    /// The machine's name, as `uname -n` has it; null in older traces.
    #[serde(default)]
    pub node: Option<String>,
    /// The traced processes.
    pub targets: Vec<TraceTarget>,
    /// How long the probes were attached, in seconds.
    pub duration_s: f64,
    /// When the probes were attached, on `CLOCK_MONOTONIC`.
    #[serde(default)]
    pub attached_ns: u64,
    /// When they were about to be detached; null while the trace goes on.
    #[serde(default)]
    pub detached_ns: Option<u64>,
    /// Which clock that is, and the instants of the records.
    #[serde(default)]
    pub clock: Option<Clock>,
    /// What ended the trace; `running` while it goes on.
    pub ended: String,
    /// Whether that came before the end that was asked for. What was measured is kept.
    pub cut_short: bool,
    /// The probes.
    pub probes: Probes,
    /// What the probes add on this machine; null if not asked for.
    pub calibration: Option<Calibration>,
    /// Spans by kind; only kinds that occurred.
    pub spans: BTreeMap<String, SpanSummary>,
    /// How many of the reads went through the hook; null unless every process has one and `read(2)` was
    /// probed.
    pub coverage: Option<Coverage>,
    /// Where every probe hit went.
    pub ledger: Ledger,
    /// The records, or null when none were asked for (`--events`).
    pub events: Option<Events>,
}

/// What the hook saw of the calls of `read(2)`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Coverage {
    /// Calls of `read(2)`.
    pub reads: u64,
    /// Those that a hook span covers.
    pub hooked: u64,
    /// Those that none covers: of descriptors that the hook does not track, or past the hook, as by a raw
    /// system call.
    pub outside: u64,
}

/// The records of a trace.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Events {
    /// The folder that has them.
    pub folder: String,
    /// Rows by file.
    pub rows: BTreeMap<String, u64>,
    /// Records that arrived and could not be written; `ended` says why.
    pub not_written: u64,
    /// How often the kernel woke the reader, as much was unread.
    pub reader_woken: u64,
}

/// Version of the shape of [`Interval`].
pub const INTERVAL_SCHEMA: &str = "hookprobe/trace-interval/1";

/// One line of `probe-user trace --interval --json`: the spans that ended within a part of the trace.
/// Histograms are read while spans are being added, so neighbouring intervals may each have a part of a
/// span; all intervals together have all of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Interval {
    /// [`INTERVAL_SCHEMA`].
    pub schema: String,
    /// Start, in seconds since the probes were attached.
    pub from_s: f64,
    /// End, likewise.
    pub until_s: f64,
    /// Spans by kind; only kinds that occurred.
    pub spans: BTreeMap<String, SpanSummary>,
}

/// One traced process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct TraceTarget {
    /// Process number.
    pub pid: i32,
    /// Its executable.
    pub executable: String,
    /// The hook that it has loaded, or null.
    pub hook: Option<String>,
}

/// Durations of the spans of one kind, in nanoseconds. Quantiles carry the histogram's error of at
/// most 0.8 %.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct SpanSummary {
    /// Spans.
    pub count: u64,
    /// Exact mean.
    pub mean_ns: f64,
    /// Median.
    pub p50_ns: u64,
    /// 90th percentile.
    pub p90_ns: u64,
    /// 99th percentile.
    pub p99_ns: u64,
    /// 99.9th percentile.
    pub p999_ns: u64,
    /// Largest.
    pub max_ns: u64,
    /// All buckets, for `probe-user merge`; null in what older versions wrote.
    #[serde(default)]
    pub exact: Option<Exact>,
    /// The same without what probing adds; null where that is not known.
    pub corrected: Option<CorrectedSpan>,
}

impl SpanSummary {
    /// Sums durations up, of which the histogram's own sum is not exact.
    pub fn of(histogram: &Histogram<u64>, sum_ns: u64) -> Self {
        Self {
            count: histogram.len(),
            mean_ns: sum_ns as f64 / histogram.len() as f64,
            p50_ns: histogram.value_at_quantile(0.5),
            p90_ns: histogram.value_at_quantile(0.9),
            p99_ns: histogram.value_at_quantile(0.99),
            p999_ns: histogram.value_at_quantile(0.999),
            max_ns: histogram.max(),
            exact: Exact::of(histogram, sum_ns),
            corrected: None,
        }
    }
}

/// Durations less what the probes add to what they see, in nanoseconds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct CorrectedSpan {
    /// Mean.
    pub mean_ns: f64,
    /// Half of the 95 % confidence interval of what was taken off the mean.
    pub mean_uncertainty_ns: f64,
    /// Median.
    pub p50_ns: f64,
    /// 90th percentile.
    pub p90_ns: f64,
    /// 99th percentile.
    pub p99_ns: f64,
    /// 99.9th percentile.
    pub p999_ns: f64,
    /// Half of the 95 % confidence interval of what was taken off the quantiles. Those carry the
    /// histogram's error as well.
    pub quantile_uncertainty_ns: f64,
    /// How much longer calls are seen that follow a pause of their thread, as when it waits for work. Not
    /// taken off: the probes do not know what came before a call.
    pub after_pause_ns: Option<f64>,
}

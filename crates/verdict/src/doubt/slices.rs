//! Doubts about arms by slices of time.

use std::fmt;

use runlog::estimate::Estimate;
use runlog::trial::SlicesResult;

use super::TrialDoubt;
use super::trial::{NULL_WITHIN_NS, of_controls};
use crate::trial::{LEAST_COMPLETIONS, NO_ROUNDS};

/// Slices of time are to be so many 99th percentiles of the response time long, and must be so many: one is known beforehand, the
/// other of the run itself.
pub const SLICE_P99: f64 = 30.0;
const LEAST_SLICE_P99: f64 = 20.0;
/// By what share of the largest effect the result may change with the length of the washout or of slices: what slices twice as long
/// show of what lingers is half of it.
const LINGERING_SHARE: f64 = 0.05;
/// The share of requests that may have been read in calls of another slice.
const OTHER_ARM_SHARE: f64 = 0.01;

/// Something that speaks against the result of slices of time.
#[derive(Clone, Debug, PartialEq)]
pub enum SlicesDoubt {
    /// There is nothing to compare. Slices were so long, ns.
    NoRounds(u64),
    /// Slices of time are too short for response times as long as these.
    Short {
        /// Length of the shorter slices, ns.
        slice_ns: u64,
        /// The 99th percentile of response times, ns.
        p99_ns: f64,
    },
    /// The result changes with the length of the washout or of slices.
    Lingers {
        /// What was twice as long.
        what: &'static str,
        /// By how much the result changed.
        by: Estimate,
    },
    /// A slice has an effect on the one behind it.
    CarriesOver(Estimate),
    /// So large a share of the requests were read in calls of another slice.
    OtherArm(f64),
}

/// What speaks against the result of slices of time. What one ns in the hook costs a completed request is a result there, and no
/// control.
pub fn of_slices(result: &SlicesResult) -> Vec<TrialDoubt> {
    let slice_ns = result.slice_ns;
    let p99_ns = result
        .p99_ns
        .filter(|p99_ns| LEAST_SLICE_P99 * p99_ns > slice_ns as f64);
    let largest_ns = result.effects.values().map(|effect| effect.estimate.abs());
    let largest_ns = largest_ns.max_by(f64::total_cmp).unwrap_or(0.0);
    let within_ns = NULL_WITHIN_NS.max(LINGERING_SHARE * largest_ns);
    let lingers = [
        ("the washout", &result.washout_doubled),
        ("slices", &result.slices_doubled),
    ]
    .into_iter()
    .filter_map(|(what, by)| {
        let by = by.clone().filter(|by| !by.reaches(0.0, within_ns))?;
        Some(SlicesDoubt::Lingers { what, by })
    });
    let null = result.effects.get("null");
    let short = p99_ns.map(|p99_ns| SlicesDoubt::Short { slice_ns, p99_ns });
    let carried = result.carry_over.clone();
    let carried = carried.filter(|carried| !carried.reaches(0.0, within_ns));
    let other_arm = result.other_arm.filter(|share| *share > OTHER_ARM_SHARE);
    let has_result = result.effects.contains_key("on");
    let none = (!has_result).then_some(SlicesDoubt::NoRounds(slice_ns));
    let own = none
        .into_iter()
        .chain(short)
        .chain(lingers)
        .chain(carried.map(SlicesDoubt::CarriesOver))
        .chain(other_arm.map(SlicesDoubt::OtherArm));
    own.map(TrialDoubt::Slices)
        .chain(of_controls(null, None, NULL_WITHIN_NS))
        .collect()
}

impl fmt::Display for SlicesDoubt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoRounds(slice_ns) => write!(
                f,
                "{NO_ROUNDS} with {LEAST_COMPLETIONS} completed requests in each slice: take a longer \
                 load, or longer slices than {:.0} ms",
                *slice_ns as f64 / 1e6
            ),
            Self::Short { slice_ns, p99_ns } => {
                let [slice, p99, least] =
                    [*slice_ns as f64, *p99_ns, SLICE_P99 * p99_ns].map(|ns| ns / 1e6);
                write!(
                    f,
                    "slices of {slice:.0} ms are too short for response times of which one in a hundred takes {p99:.1} ms: take \
                     --slice {:.0}ms or more",
                    least.ceil()
                )
            }
            Self::Lingers { what, by } => {
                let [low, high] = by.ci95;
                write!(
                    f,
                    "with {what} twice as long the result changes by {:.0} ns [{low:.0}, {high:.0}]: what one slice leaves \
                     behind lasts into the next; take a longer --slice",
                    by.estimate
                )
            }
            Self::CarriesOver(by) => {
                let [low, high] = by.ci95;
                write!(
                    f,
                    "behind a slice of the dearest arm requests take {:.0} ns [{low:.0}, {high:.0}] longer, whatever their own arm: \
                     what one slice leaves behind lasts into the next; take a longer --slice",
                    by.estimate
                )
            }
            Self::OtherArm(share) => write!(
                f,
                "{:.0} % of the requests were read in a call that began in another slice, as a server does that waits in its \
                 read: take a longer --slice, a higher load or fewer connections",
                100.0 * share
            ),
        }
    }
}

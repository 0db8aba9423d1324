//! Doubts about trials.

use std::collections::BTreeMap;
use std::fmt;

use runlog::estimate::Estimate;
use runlog::manifest::{Arm, Environment, Placement, Scheduling};
use runlog::trial::{CountsCheck, DifferingCount, Doses, TrialResult, Undisturbed};

use super::slices::{SlicesDoubt, of_slices};
use super::unfollowed::{self, Unfollowed};
use super::{Doubt, Severity};
use crate::agreement::LEAST_MARGIN_NS;

/// Level of the test for carry-over, corrected for all lags.
const CARRY_OVER_LEVEL: f64 = 0.01;
/// The share of records that may be lost.
const LOST_SHARE: f64 = 0.01;
/// By how much the shares of requests without a record may differ between arms.
const LOST_DIFFERENCE: f64 = 0.005;

/// By how much the negative control may differ from none: no more than the layers, and of undisturbed requests less, which have
/// narrow intervals.
pub const NULL_WITHIN_NS: f64 = LEAST_MARGIN_NS;
const UNDISTURBED_NULL_WITHIN_NS: f64 = 5.0;
/// By how much the slope of their doses may differ from 1.
const SLOPE_WITHIN: f64 = 0.03;

/// Intervals of one process are too narrow if fewer of them hold what 95 in 100 should. Of 200 redraws of one process, chance
/// leaves fewer in one of a thousand sound runs.
const LEAST_HOLDING: f64 = 0.9;

/// Differing counts that are shown one by one.
const MOST_SHOWN: usize = 4;

/// Something that speaks against the result of a trial.
#[derive(Clone, Debug, PartialEq)]
pub enum TrialDoubt {
    /// Client and servers counted other numbers of requests.
    CountsDiffer(Vec<DifferingCount>),
    /// Nothing is known of any request.
    Unfollowed(Unfollowed),
    /// So many records or requests are not of the arm, or of the request, that they say.
    Misplaced(u64),
    /// So many requests did not begin where the one before should have ended.
    OffBoundary(u64),
    /// So many calls read beyond their request.
    BeyondRequest(u64),
    /// So many connections had no salt.
    WithoutSalt(u64),
    /// So many calls of the hook never got behind it.
    Unreached(u64),
    /// The arm of a request has an effect on another.
    CarriesOver {
        /// Which arms were held against the rest.
        contrast: String,
        /// Requests later.
        lag: i32,
        /// The effect, ns.
        effect_ns: f64,
        /// Corrected p-value.
        p: f64,
    },
    /// Server and load generator were scheduled as programs usually are.
    FairScheduling,
    /// Reading the clock takes too long: the bracket reads it four times a call.
    SlowClock {
        /// What the kernel has it from.
        source: String,
        /// What a read of it takes, ns.
        read_ns: f64,
    },
    /// So many records were lost, of so many.
    RecordsLost {
        /// Lost.
        lost: u64,
        /// Of these.
        of: u64,
    },
    /// Shares of requests without a record, by arm.
    RecordsLostUnevenly(BTreeMap<String, f64>),
    /// The delays that were injected are not what is seen.
    SlopeWrong(Estimate),
    /// The negative control is told apart from `off`.
    NullDiffers(Estimate),
    /// Intervals of one process hold what they should in this share of redraws.
    NarrowInProcess(f64),
    /// Nobody wrote down what the servers counted.
    NoCounts,
    /// Nothing was sent before the requests that count.
    NoWarmUp,
    /// Something that speaks against arms by slices of time.
    Slices(SlicesDoubt),
}

impl TrialDoubt {
    /// How grave it is.
    pub fn severity(&self) -> Severity {
        match self {
            Self::CountsDiffer(_)
            | Self::Unfollowed(_)
            | Self::Misplaced(_)
            | Self::OffBoundary(_)
            | Self::BeyondRequest(_)
            | Self::WithoutSalt(_)
            | Self::Slices(SlicesDoubt::NoRounds(_)) => Severity::NotUsable,
            Self::NarrowInProcess(_) => Severity::Warning,
            Self::Unreached(_)
            | Self::CarriesOver { .. }
            | Self::FairScheduling
            | Self::SlowClock { .. }
            | Self::RecordsLost { .. }
            | Self::RecordsLostUnevenly(_)
            | Self::SlopeWrong(_)
            | Self::NullDiffers(_)
            | Self::NoCounts
            | Self::NoWarmUp
            | Self::Slices(_) => Severity::Withholds,
        }
    }
}

/// What speaks against the result of a trial.
pub fn of_trial(result: &TrialResult, placement: &Placement) -> Vec<Doubt> {
    let mut doubts = match &result.counts {
        Some(counts) => of_counts(counts),
        None => vec![TrialDoubt::NoCounts],
    };
    if let Some(slices) = &result.slices {
        doubts.extend(of_slices(slices));
    } else if placement.scheduling == Scheduling::Fair {
        doubts.push(TrialDoubt::FairScheduling);
    }
    if result.threshold_ns.is_none() {
        doubts.push(TrialDoubt::NoWarmUp);
    }
    for contrast in &result.carry_over {
        // An effect on the very next request may be the hook's own, as of caches that it has emptied.
        let further = contrast.lags.iter().filter(|effect| effect.lag != 1);
        doubts.extend(further.filter_map(|effect| {
            Some(TrialDoubt::CarriesOver {
                contrast: contrast.contrast.clone(),
                lag: effect.lag,
                effect_ns: effect.effect.estimate,
                p: effect.p.filter(|p| *p < CARRY_OVER_LEVEL)?,
            })
        }));
    }
    let holding = result.rerandomisation.as_ref().map(|of| of.share_holding);
    let narrow = holding.filter(|share| *share < LEAST_HOLDING);
    doubts.extend(narrow.map(TrialDoubt::NarrowInProcess));
    if result.slices.is_none() {
        let null = result.effects.get("null");
        let null = null.and_then(|null| null.body.as_ref());
        doubts.extend(of_controls(null, result.doses.as_ref(), NULL_WITHIN_NS));
    }
    let mut doubts: Vec<Doubt> = doubts.into_iter().map(Doubt::Trial).collect();
    let ledger = result.counts.as_ref().map(|counts| &counts.records);
    doubts.extend(
        ledger
            .is_some_and(|ledger| !ledger.is_balanced())
            .then_some(Doubt::Unbalanced),
    );
    doubts
}

/// Whether the hook of these arms was where requests are read: in a trial by the servers' calls, elsewhere by what it defines.
pub fn of_hooked_reads(arms: &[Arm], trial: Option<&TrialResult>) -> Option<Doubt> {
    let defined = arms.iter().find_map(|arm| arm.hooked_reads.as_ref())?;
    let Some(trial) = trial else {
        return defined.is_empty().then_some(Doubt::HooksNoRead);
    };
    let called = &trial.counts.as_ref()?.functions;
    let is_called = defined.iter().any(|name| called.contains_key(name));
    (!called.is_empty() && !is_called).then(|| {
        Doubt::Trial(TrialDoubt::Unfollowed(Unfollowed::NeverCalled {
            called: called.keys().cloned().collect(),
            hooked: defined.clone(),
        }))
    })
}

/// What speaks against the result for undisturbed requests: they have controls of their own.
pub fn of_undisturbed(result: &Undisturbed, doubts: &[Doubt]) -> Vec<Doubt> {
    let is_control = |doubt: &&Doubt| {
        use TrialDoubt::{NullDiffers, SlopeWrong};
        matches!(doubt, Doubt::Trial(NullDiffers(_) | SlopeWrong(_)))
    };
    let others = doubts.iter().filter(|doubt| !is_control(doubt)).cloned();
    let null = result.effects.get("null").map(|null| &null.end_to_end);
    let own = of_controls(null, result.doses.as_ref(), UNDISTURBED_NULL_WITHIN_NS);
    others.chain(own.into_iter().map(Doubt::Trial)).collect()
}

/// The negative control, which may be off by this much, and the positive one.
pub fn of_controls(
    null: Option<&Estimate>,
    doses: Option<&Doses>,
    null_within_ns: f64,
) -> Vec<TrialDoubt> {
    let null = null.filter(|null| !null.reaches(0.0, null_within_ns));
    let slope = doses.and_then(|doses| doses.slope.as_ref());
    let slope = slope.filter(|slope| !slope.reaches(1.0, SLOPE_WITHIN));
    let null = null.cloned().map(TrialDoubt::NullDiffers);
    null.into_iter()
        .chain(slope.cloned().map(TrialDoubt::SlopeWrong))
        .collect()
}

/// The clock that calls are timed by.
pub fn of_clock(environment: &Environment) -> Option<Doubt> {
    environment.has_slow_clock().then(|| {
        Doubt::Trial(TrialDoubt::SlowClock {
            source: environment.clock_source.clone(),
            read_ns: environment.clock_read_ns,
        })
    })
}

/// Both sides' counts.
fn of_counts(counts: &CountsCheck) -> Vec<TrialDoubt> {
    let CountsCheck {
        without_salt,
        off_boundary,
        beyond_request,
        unreached,
        never_reached,
        misplaced,
        without_record,
        records,
        ..
    } = counts;
    let some = |count: u64, doubt: fn(u64) -> TrialDoubt| (count > 0).then(|| doubt(count));
    let lost = records.lost();
    let of = records.begun.saturating_add(records.unrecordable);
    let shares = || without_record.values().copied();
    let most = shares().max_by(f64::total_cmp).unwrap_or(0.0);
    let fewest = shares().min_by(f64::total_cmp).unwrap_or(0.0);
    [
        unfollowed::of_requests(counts),
        some(*misplaced, TrialDoubt::Misplaced),
        some(*off_boundary, TrialDoubt::OffBoundary),
        some(*beyond_request, TrialDoubt::BeyondRequest),
        some(*without_salt, TrialDoubt::WithoutSalt),
        some(*unreached, TrialDoubt::Unreached).filter(|_| !never_reached),
        (lost as f64 > LOST_SHARE * of as f64).then_some(TrialDoubt::RecordsLost { lost, of }),
        (most - fewest > LOST_DIFFERENCE)
            .then(|| TrialDoubt::RecordsLostUnevenly(without_record.clone())),
    ]
    .into_iter()
    .flatten()
    .collect()
}

impl fmt::Display for TrialDoubt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CountsDiffer(differing) => differ(f, differing),
            Self::Unfollowed(doubt) => doubt.fmt(f),
            Self::Misplaced(count) => write!(
                f,
                "{count} requests or records of calls are of another arm or request than both sides draw"
            ),
            Self::OffBoundary(count) => write!(
                f,
                "{count} requests did not begin where the one before should have ended: they are not all of one size"
            ),
            Self::BeyondRequest(count) => write!(
                f,
                "{count} calls read more than one request (pipelining, or a server that answers by calls that front does \
                 not see): these have no arm of their own"
            ),
            Self::WithoutSalt(count) => write!(
                f,
                "{count} connections had no salt in their first request: their requests were drawn no arm"
            ),
            Self::Unreached(count) => write!(
                f,
                "{count} calls of the hook never got behind it, others did: what they took is not known"
            ),
            Self::CarriesOver {
                contrast,
                lag,
                effect_ns,
                p,
            } => {
                let on = match lag {
                    -1 => "the one before it, which cannot be".to_owned(),
                    lag => format!("the request {lag} later"),
                };
                write!(
                    f,
                    "the arm of a request ({contrast}) has an effect of {effect_ns:.0} ns on {on} (p {p:.4}): requests \
                     of one connection are no units of their own"
                )
            }
            Self::FairScheduling => f.write_str(
                "server and load generator were not scheduled in batch: one preempts the other on waking up, and the \
                 arm of a request has effects on others",
            ),
            Self::SlowClock { source, read_ns } => write!(
                f,
                "a read of the clock takes {read_ns:.0} ns (clock source {source}), and the bracket reads it four times a call: \
                 boot with clocksource=tsc, or look in dmesg why the kernel gave that up"
            ),
            Self::RecordsLost { lost, of } => {
                write!(f, "{lost} of {of} records of calls were lost")
            }
            Self::RecordsLostUnevenly(shares) => f.write_str(&lost_unevenly(shares)),
            Self::SlopeWrong(slope) => {
                let [low, high] = slope.ci95;
                write!(
                    f,
                    "the positive control fails: of each ns of injected delay {:.2} ns [{low:.2}, {high:.2}] are seen",
                    slope.estimate
                )
            }
            Self::NullDiffers(null) => {
                let [low, high] = null.ci95;
                write!(
                    f,
                    "the negative control fails: null and off, which do the same, differ by {:.0} ns [{low:.0}, \
                     {high:.0}]",
                    null.estimate
                )
            }
            Self::NarrowInProcess(share) => write!(
                f,
                "intervals over so few blocks of one process are too narrow: of arms that do the same and were drawn again they hold 0 in \
                 {:.0} %, not in 95 %",
                100.0 * share
            ),
            Self::Slices(doubt) => doubt.fmt(f),
            Self::NoCounts => f.write_str(
                "the servers' counts are missing: whether both sides drew the same arms is not known",
            ),
            Self::NoWarmUp => f.write_str(
                "there is no warm-up to tell body and tail apart by: only typical differences are known",
            ),
        }
    }
}

fn differ(f: &mut fmt::Formatter<'_>, differing: &[DifferingCount]) -> fmt::Result {
    let shown = differing.iter().take(MOST_SHOWN).map(in_words);
    let mut words: Vec<String> = shown.collect();
    let more = differing.len().saturating_sub(MOST_SHOWN);
    words.extend((more > 0).then(|| format!("and {more} more")));
    write!(
        f,
        "client and servers counted other requests ({})",
        words.join("; ")
    )
}

fn lost_unevenly(shares: &BTreeMap<String, f64>) -> String {
    let shares: Vec<String> = shares
        .iter()
        .map(|(arm, share)| format!("{arm} {:.1} %", 100.0 * share))
        .collect();
    format!(
        "arms lost different shares of their records ({})",
        shares.join(", ")
    )
}

fn in_words(differing: &DifferingCount) -> String {
    let DifferingCount {
        server,
        arm,
        answered,
        uncertain,
        drawn,
    } = differing;
    let or_more = match uncertain {
        0 => String::new(),
        uncertain => format!(" to {}", answered + uncertain),
    };
    format!("server {server}, {arm}: {answered}{or_more} sent, {drawn} drawn")
}

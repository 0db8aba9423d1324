//! Doubts about a result: what each is, how much of it is tolerated, how grave it is, and its words. Programs and
//! reports print them and decide nothing.

pub mod find;
mod slices;
mod trial;
mod unfollowed;

use std::collections::BTreeMap;
use std::fmt;

use runlog::record::READS;

pub use slices::{SLICE_P99, SlicesDoubt};
pub use trial::{TrialDoubt, of_clock, of_hooked_reads, of_trial, of_undisturbed};
pub use unfollowed::Unfollowed;

/// The share of an arm's requests that may fail.
const FAILED_SHARE: f64 = 0.0;
/// The share of requests to hooked arms that may lack their records.
const UNMATCHED_SHARE: f64 = 0.0;
/// The load generator is the bottleneck if it is busy for more of the time.
const LOADGEN_BUSY: f64 = 0.95;
/// A server that has more of its descriptors open may have been refused some.
const DESCRIPTORS: f64 = 0.95;
/// Share of the CPU time that the hypervisor may give to others.
pub const STOLEN_SHARE: f64 = 0.01;
/// Level of tests that warn: an arm's first half against its second.
const LEVEL: f64 = 0.05;
/// Neighbouring blocks resemble each other if their correlation is more standard errors above 0.
const CORRELATION_ERRORS: f64 = 2.0;
/// Intervals that hold less often than this in simulation are warned of.
const LEAST_COVERAGE: f64 = 0.9;
/// Requests that a block should have at least.
pub const SMALL_BLOCK: usize = 25;
/// By what share of the longer arm two arms may differ in length.
const UNEQUAL_SHARE: f64 = 0.05;

/// How grave a doubt is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// To be known in reading the result.
    Warning,
    /// The estimates stand; whether the layers agree is not judged.
    Withholds,
    /// The result should not be used, and nothing is judged.
    NotUsable,
}

/// Something that speaks against a result.
#[derive(Clone, Debug, PartialEq)]
pub enum Doubt {
    /// The run did not come to its end, for this reason.
    CutShort(String),
    /// A log lacks its end.
    LogCutShort,
    /// Hits of the probes are unaccounted for.
    Unbalanced,
    /// So many records were lost, as the buffer was full.
    Dropped(u64),
    /// The kernel passed so many hits over, of programs that all processes run into.
    PassedOver(u64),
    /// So many records arrived and could not be kept.
    NotWritten(u64),
    /// Processes ran for so many seconds, summed up, before the probes saw them.
    Unobserved(f64),
    /// Nothing but warm-up.
    NoRequests,
    /// Nothing was sent while the probes were attached.
    NothingToJoin,
    /// Requests without a complete 2xx response.
    Failed {
        /// How many.
        failures: u64,
        /// Of how many.
        sent: u64,
        /// By kind, where that is known.
        kinds: BTreeMap<String, u64>,
    },
    /// Requests without their records.
    NotJoined {
        /// How many.
        unmatched: u64,
        /// Of how many.
        requests: u64,
    },
    /// So many requests were not observed from their beginning to their end.
    OutsideRecording(u64),
    /// So many requests have reads that cannot be theirs.
    OutsideSentDone(u64),
    /// A limit was hit.
    Limit(Limit),
    /// Two equal servers differ by more than the layers may.
    AaFails {
        /// By how much, in ns.
        difference_ns: f64,
        /// Its interval.
        ci95: [f64; 2],
        /// By how much the layers may.
        margin_ns: f64,
    },
    /// The difference of the layers still changes its level late in the run.
    Unsettled(LateLevel),
    /// Arms did not alternate.
    OneAfterTheOther,
    /// The doctor found something that spoils results.
    Machine {
        /// What was looked at.
        name: String,
        /// `before` or `after`.
        when: &'static str,
        /// What was found.
        found: String,
    },
    /// The first half of an arm differs from its second; the statistic of the test.
    HalvesDiffer(f64),
    /// Neighbouring blocks resemble each other; their correlation.
    NeighboursAlike(f64),
    /// Blocks of so few requests.
    ShortBlocks(usize),
    /// The level changes at this block, after the warm-up that the run left out.
    LongWarmUp(usize),
    /// The level still changes late in an arm.
    EndlessWarmUp {
        /// After so many requests
        requests: usize,
        /// of these.
        of: usize,
    },
    /// Arms of different length.
    UnequalLengths {
        /// Names of the arms.
        arms: [String; 2],
        /// Their requests.
        requests: [u64; 2],
    },
    /// The hook of whole servers defines no function that reads.
    HooksNoRead,
    /// Two arms without any variation.
    NoVariation([String; 2]),
    /// Quantiles whose intervals hold too seldom with so few blocks; how often they held in simulation.
    WeakIntervals(Vec<(f64, Option<f64>)>),
    /// What the hook takes alone is not seen end to end, and nothing tells whether it was called.
    NotFelt {
        /// What a call takes alone, at least, in ns.
        alone_ns: f64,
        /// What a request takes longer, at most, in ns.
        at_most_ns: f64,
    },
    /// A doubt about a trial.
    Trial(TrialDoubt),
    /// A doubt about the arm of this name.
    OfArm(String, Box<Doubt>),
}

/// A level that comes late in a series.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LateLevel {
    /// Where it begins, counted from 1.
    pub observation: usize,
    /// Observations.
    pub of: usize,
    /// The medians before and from there on.
    pub medians_ns: [f64; 2],
}

/// A limit that was hit, and how often or how far.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Limit {
    /// Periods in which a server's CPU time was used up.
    Throttled(u64),
    /// Times that a server came up against its memory limit.
    Memory(u64),
    /// Connections that found a full queue.
    ListenQueue(u64),
    /// Share of the descriptors.
    Descriptors(f64),
    /// Share of the time that the load generator was busy.
    LoadGenerator(f64),
    /// Share of the CPU time that others had.
    Stolen(f64),
}

impl Doubt {
    /// How grave it is.
    pub fn severity(&self) -> Severity {
        match self {
            Self::Limit(_) | Self::AaFails { .. } | Self::Unsettled(_) => Severity::Withholds,
            Self::OneAfterTheOther
            | Self::HooksNoRead
            | Self::PassedOver(_)
            | Self::Machine { .. }
            | Self::HalvesDiffer(_)
            | Self::NeighboursAlike(_)
            | Self::ShortBlocks(_)
            | Self::LongWarmUp(_)
            | Self::EndlessWarmUp { .. }
            | Self::UnequalLengths { .. }
            | Self::NoVariation(_)
            | Self::WeakIntervals(_)
            | Self::NotFelt { .. } => Severity::Warning,
            Self::Trial(doubt) => doubt.severity(),
            Self::OfArm(_, doubt) => doubt.severity(),
            // A new one is grave until somebody says otherwise.
            _ => Severity::NotUsable,
        }
    }

    /// The same about one arm.
    pub fn of_arm(self, arm: &str) -> Self {
        Self::OfArm(arm.to_owned(), Box::new(self))
    }
}

/// The words of those doubts that are as grave as asked for.
pub fn words(doubts: &[Doubt], is_wanted: impl Fn(Severity) -> bool) -> Vec<String> {
    let wanted = doubts.iter().filter(|doubt| is_wanted(doubt.severity()));
    wanted.map(ToString::to_string).collect()
}

impl fmt::Display for Doubt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = match self {
            Self::CutShort(reason) => format!("the run was cut short: {reason}"),
            Self::LogCutShort => "a log was cut short; its complete rows are used".to_owned(),
            Self::Unbalanced => "the ledger does not balance".to_owned(),
            Self::Dropped(records) => {
                format!("{records} records were dropped because a buffer was full (--ring-bytes)")
            }
            Self::PassedOver(hits) => format!(
                "the kernel passed {hits} hits of programs over that all processes run into; no half of a call of ours is missing, but \
                 a write may be (--kernel-probe)"
            ),
            Self::NotWritten(records) => {
                format!("{records} records were not written (--max-run-bytes)")
            }
            Self::Unobserved(seconds) => {
                format!("its processes ran {seconds:.1} s before they were observed")
            }
            Self::NoRequests => "no request outside the warm-up is logged".to_owned(),
            Self::NothingToJoin => "no request was made while the probes were attached".to_owned(),
            Self::Failed {
                failures,
                sent,
                kinds,
            } => failed(*failures, *sent, kinds),
            Self::NotJoined {
                unmatched,
                requests,
            } => not_joined(*unmatched, *requests),
            Self::OutsideRecording(requests) => {
                format!("{requests} requests lie outside of the time that was recorded")
            }
            Self::OutsideSentDone(requests) => {
                format!("{requests} requests have reads outside of [sent, done]")
            }
            Self::Limit(limit) => format!("a resource limit was hit: {limit}"),
            Self::AaFails {
                difference_ns,
                ci95: [low, high],
                margin_ns,
            } => format!(
                "A/A fails: two equal servers differ by {difference_ns:.0} ns [{low:.0}, {high:.0}], \
                 more than the {margin_ns:.0} ns that the layers may"
            ),
            Self::Unsettled(level) => format!(
                "warm-up did not end: the difference between the layers still changes its level {level}"
            ),
            Self::OneAfterTheOther => {
                "one arm ran wholly after the other: whatever drifts meanwhile falls on one \
                 arm and counts as a difference, and no interval knows of it; rmit and duet \
                 keep it out"
                    .to_owned()
            }
            Self::HooksNoRead => hooks_no_read(),
            Self::Machine { name, when, found } => format!("{name}, right {when} the run: {found}"),
            Self::HalvesDiffer(t) => format!(
                "its own halves differ (t {t:.1}): the arm drifts, or this test finds too \
                 much; a difference between arms that were measured one after the other may \
                 be no more than that"
            ),
            Self::NeighboursAlike(lag1) => format!(
                "neighbouring blocks resemble each other (lag-1 {lag1:.2}): intervals of \
                 arms measured apart are too narrow; longer blocks or interleaved arms help"
            ),
            Self::ShortBlocks(requests) => format!("blocks of {requests} requests are short"),
            Self::LongWarmUp(block) => format!(
                "the level changes at block {block}: its warm-up was longer than the run \
                 left out"
            ),
            Self::EndlessWarmUp { requests, of } => format!(
                "the level still changes after {requests} of {of} requests: no warm-up that \
                 ended, nothing left out"
            ),
            Self::UnequalLengths {
                arms: [baseline, treatment],
                requests: [before, after],
            } => format!(
                "{baseline} and {treatment} have {before} and {after} requests; all are \
                 used"
            ),
            Self::NoVariation([baseline, treatment]) => {
                format!(
                    "{treatment} and {baseline} do not vary: no test, and an interval of no width"
                )
            }
            Self::WeakIntervals(quantiles) => format!(
                "95 % intervals of these quantiles' shifts held in less than {:.0} % of \
                 simulations with so few blocks: {}",
                LEAST_COVERAGE * 100.0,
                listed(quantiles)
            ),
            Self::NotFelt {
                alone_ns,
                at_most_ns,
            } => not_felt(*alone_ns, *at_most_ns),
            Self::Trial(doubt) => doubt.to_string(),
            Self::OfArm(arm, doubt) => format!("arm {arm}: {doubt}"),
        };
        f.write_str(&words)
    }
}

fn hooks_no_read() -> String {
    format!(
        "the hook defines none of {}: all that it does elsewhere is in the end-to-end difference, and there is no other layer",
        READS.join(", ")
    )
}

fn failed(failures: u64, sent: u64, kinds: &BTreeMap<String, u64>) -> String {
    let is_theirs = |kind: &String| OF_OTHER_SERVERS.contains(&kind.as_str());
    let is_another_server = failures == sent && !kinds.is_empty() && kinds.keys().all(is_theirs);
    let kinds: Vec<String> = kinds
        .iter()
        .map(|(kind, count)| format!("{count} × {kind}"))
        .collect();
    let kinds = match kinds.as_slice() {
        [] => String::new(),
        kinds => format!(" ({})", kinds.join(", ")),
    };
    let advice = if is_another_server { NONE_ANSWERED } else { "" };
    format!("{failures} of {sent} requests failed{kinds}{advice}")
}

/// What requests come to at a server that does not know their path, or that speaks something else.
const OF_OTHER_SERVERS: [&str; 3] = ["status_4xx", "malformed_head", "closed_unanswered"];
/// What to look at where not one request was answered as it should be.
const NONE_ANSWERED: &str =
    ": does the server speak HTTP/1.1 there, without TLS, and have what --path asks for?";

fn not_joined(unmatched: u64, requests: u64) -> String {
    format!(
        "{unmatched} of {requests} requests could not be joined to records: were they read past the hook, or by a process that was \
         started while the probes were attached?"
    )
}

fn not_felt(alone_ns: f64, at_most_ns: f64) -> String {
    format!(
        "alone, a call of the hook takes {alone_ns:.0} ns or more, and a request takes at most {at_most_ns:.0} ns longer with it: \
         does the server read by the functions that the hook stands in front of? Probes or a trial tell"
    )
}

fn listed(quantiles: &[(f64, Option<f64>)]) -> String {
    let quantiles: Vec<String> = quantiles
        .iter()
        .map(|(quantile, share)| match share {
            Some(share) => format!("{quantile} ({:.0} %)", share * 100.0),
            None => format!("{quantile} (not simulated)"),
        })
        .collect();
    quantiles.join(", ")
}

impl fmt::Display for LateLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            observation, of, ..
        } = self;
        let [before_ns, after_ns] = self.medians_ns;
        write!(
            f,
            "at observation {observation} of {of}, from {before_ns:.0} to {after_ns:.0} ns (medians); in random order \
             they would show so clear a change in less than one run of 100"
        )
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Throttled(periods) => write!(
                f,
                "servers were throttled by their CPU limit in {periods} periods"
            ),
            Self::Memory(times) => {
                write!(
                    f,
                    "a server's cgroup reached its memory limit {times} times"
                )
            }
            Self::ListenQueue(connections) => write!(
                f,
                "{connections} connections found a server's queue of connections full"
            ),
            Self::Descriptors(share) => write!(
                f,
                "{:.1} % of the descriptors that a server may open were open",
                100.0 * share
            ),
            Self::LoadGenerator(share) => write!(
                f,
                "{:.1} % of the time the load generator was busy: it is the bottleneck",
                100.0 * share
            ),
            Self::Stolen(share) => write!(
                f,
                "{:.1} % of the CPU time was given to others by the hypervisor",
                100.0 * share
            ),
        }
    }
}

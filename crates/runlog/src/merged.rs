//! What `probe-user merge --json` prints.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::analysis::{Ledger, LedgerRow, ProgramRuns};
use crate::clock::Clock;
use crate::trace::SpanSummary;

/// Version of this shape.
pub const SCHEMA: &str = "hookprobe/merged/1";

/// What several nodes have seen, by arm.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Merged {
    /// [`SCHEMA`].
    pub schema: String,
    /// Whether every ledger balances.
    pub usable: bool,
    /// What there is to know before the figures are used: ledgers that do not balance, hits that were passed over,
    /// arms that were forgotten.
    pub findings: Vec<String>,
    /// One entry for each arm, by name.
    pub arms: Vec<MergedArm>,
    /// Where that comes from.
    pub sources: Vec<MergedSource>,
}

/// One arm over all nodes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct MergedArm {
    /// The arm.
    pub arm: String,
    /// Nodes that it ran on.
    pub nodes: u64,
    /// Parts that were added up: one for each container in each source.
    pub parts: u64,
    /// How long its processes ran before they were observed, in seconds, summed up.
    pub unobserved_s: f64,
    /// Spans by kind: the histograms of all parts, added up bucket by bucket.
    pub spans: BTreeMap<String, SpanSummary>,
    /// The ledgers of all parts, added up. It balances if each of them does.
    pub ledger: Ledger,
}

/// One file or agent.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct MergedSource {
    /// Its path or address.
    pub source: String,
    /// Who has seen it.
    pub observer: Observer,
    /// The node.
    pub node: String,
    /// Which clock the instants are on; null where that is not known.
    pub clock: Option<Clock>,
    /// When the probes were attached, on `CLOCK_MONOTONIC`.
    pub from_ns: u64,
    /// Until when their figures go.
    pub until_ns: u64,
    /// Hits that the kernel has passed over, over all programs.
    pub missed: u64,
    /// Arms in containers that an agent has forgotten with all that it had counted.
    pub forgotten: u64,
    /// What it has of each arm.
    pub parts: Vec<MergedPart>,
}

/// Who has seen what a source has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Observer {
    /// `probe-user agent`.
    #[default]
    Agent,
    /// `probe-user trace`.
    Trace,
}

/// What a source has of one arm: in one container, or of the processes of one trace.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct MergedPart {
    /// The arm.
    pub arm: String,
    /// The container, by the first twelve digits of its id; empty outside of containers.
    pub container: String,
    /// UID of its Kubernetes pod; empty outside of pods.
    pub pod: String,
    /// Its processes, of those of an agent those that run.
    pub pids: Vec<i32>,
    /// How long its processes ran before they were observed, in seconds.
    pub unobserved_s: f64,
    /// Whether its ledger balances.
    pub balanced: bool,
    /// Spans by kind.
    pub spans: BTreeMap<String, u64>,
}

impl Ledger {
    /// Adds another's hits. The sum balances if both do.
    pub fn add(&mut self, other: &Self) {
        self.balanced &= other.balanced;
        add_counts([
            (&mut self.hits, other.hits),
            (&mut self.recorded, other.recorded),
            (&mut self.dropped, other.dropped),
            (&mut self.unpaired, other.unpaired),
            (&mut self.unexplained, other.unexplained),
            (&mut self.in_flight, other.in_flight),
            (&mut self.missed, other.missed),
            (
                &mut self.hits_of_other_processes,
                other.hits_of_other_processes,
            ),
            (&mut self.records_written, other.records_written),
            (&mut self.records_received, other.records_received),
        ]);
        for (probe, row) in &other.probes {
            self.probes.entry(probe.clone()).or_default().add(row);
        }
        for (cause, count) in &other.causes {
            let sum = self.causes.entry(cause.clone()).or_default();
            *sum = sum.saturating_add(*count);
        }
        for (program, runs) in &other.programs {
            let sum = self.programs.entry(program.clone()).or_default();
            sum.add(*runs);
        }
    }
}

impl LedgerRow {
    fn add(&mut self, other: &Self) {
        add_counts([
            (&mut self.hits, other.hits),
            (&mut self.recorded, other.recorded),
            (&mut self.dropped, other.dropped),
            (&mut self.unpaired, other.unpaired),
            (&mut self.unexplained, other.unexplained),
            (&mut self.in_flight, other.in_flight),
            (&mut self.missed, other.missed),
        ]);
    }
}

fn add_counts<const N: usize>(sums: [(&mut u64, u64); N]) {
    for (sum, count) in sums {
        *sum = sum.saturating_add(count);
    }
}

impl ProgramRuns {
    /// Runs and their time are known if each node has counted them.
    fn add(&mut self, other: Self) {
        let is_first = *self == Self::default();
        let sum = |one: Option<u64>, two: Option<u64>| match (one, two) {
            (Some(one), Some(two)) => Some(one.saturating_add(two)),
            (None, two) if is_first => two,
            _ => None,
        };
        self.runs = sum(self.runs, other.runs);
        self.run_time_ns = sum(self.run_time_ns, other.run_time_ns);
        self.recursion_misses = self.recursion_misses.saturating_add(other.recursion_misses);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ledger(hits: u64, dropped: u64, balanced: bool) -> Ledger {
        let row = LedgerRow {
            hits,
            recorded: hits - dropped,
            dropped,
            ..LedgerRow::default()
        };
        Ledger {
            hits,
            recorded: hits - dropped,
            dropped,
            balanced,
            probes: [("read_syscall".to_owned(), row)].into(),
            causes: [("read_ring_full".to_owned(), dropped)].into(),
            ..Ledger::default()
        }
    }

    #[test]
    fn ledgers_add_up_and_one_that_does_not_balance_spoils_all() {
        let mut sum = ledger(10, 1, true);
        sum.add(&ledger(5, 2, true));
        assert_eq!(sum, ledger(15, 3, true));
        sum.add(&ledger(1, 0, false));
        sum.add(&ledger(1, 0, true));
        assert_eq!(sum, ledger(17, 3, false));
    }

    #[test]
    fn runs_are_known_if_all_have_counted_them() {
        let runs = |runs, misses| ProgramRuns {
            runs,
            run_time_ns: runs,
            recursion_misses: misses,
        };
        let mut sum = ProgramRuns::default();
        sum.add(runs(Some(3), 1));
        sum.add(runs(Some(4), 0));
        assert_eq!(sum, runs(Some(7), 1));
        sum.add(runs(None, 2));
        assert_eq!(sum, runs(None, 3));
    }
}

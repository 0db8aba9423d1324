//! The rounds: in each, every case is measured once, in a process of its own and in an order drawn
//! anew. So what drifts falls on all alike, and so does where a process happens to lie in memory.

use std::path::Path;

use stats::ratio::ratio_of_means;

use crate::estimate::{Estimate, Target, Verdict};
use crate::hook::cases::{Case, Watcher};
use crate::hook::result::{Found, Report};
use crate::hook::subject::{Files, Subject};
use crate::hook::watch;
use crate::result::Missing;
use crate::rounds::interleaved;

/// How much is measured.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Rounds.
    pub rounds: u32,
    /// Batches of each read in a round.
    pub batches: usize,
    /// CPU of the reads.
    pub cpu: usize,
    /// Seed of the order.
    pub seed: u64,
}

/// Runs them. A case that cannot be measured is named.
pub fn run(plan: Plan, cases: &[Case], files: &Files, probe_user: &Path) -> anyhow::Result<Report> {
    let mut report = Report {
        rounds: plan.rounds,
        seed: plan.seed,
        ..Report::default()
    };
    let mut columns: Vec<(&Case, Found)> = Vec::new();
    for case in cases {
        match watch::missing(case.watcher) {
            None => columns.push((case, Found::of(case.name))),
            Some(reason) => report.missing.push(Missing::here(case.name, reason)),
        }
    }
    let mut given_up: Vec<Missing> = Vec::new();
    interleaved(plan.rounds, plan.seed, columns.len(), |round, index| {
        let (case, found) = &mut columns[index];
        if given_up.iter().any(|missing| missing.name == case.name) {
            return Ok(());
        }
        match measure(plan, case, files, probe_user, found) {
            Err(error) if case.watcher == Watcher::Nobody => {
                Err(error.context(format!("case \"{}\"", case.name)))
            }
            // A tracer that fails takes nothing with it but its own case.
            Err(error) => {
                let error = error.context(format!("from round {round} on"));
                given_up.push(Missing::failed(case.name, &error, false));
                Ok(())
            }
            Ok(()) => Ok(()),
        }
    })?;
    // An interval takes two rounds.
    columns.retain(|(case, found)| {
        found.added_by_round().len() >= 2
            || given_up.iter().all(|missing| missing.name != case.name)
    });
    report.missing.extend(given_up);
    for (_, found) in &mut columns {
        found.estimate();
    }
    let added: Vec<(Case, Vec<f64>)> = columns
        .iter()
        .map(|(case, found)| (**case, found.added_by_round()))
        .collect();
    for (case, found) in &mut columns {
        let peer = added.iter().find(|(other, _)| case.is_peer(other));
        found.paper_adds_times = peer
            .and_then(|(_, theirs)| ratio_of_means(theirs, &found.added_by_round()))
            .map(Estimate::from);
        found.targets = targets(case, found);
    }
    report.cases = columns.into_iter().map(|(_, found)| found).collect();
    Ok(report)
}

fn measure(
    plan: Plan,
    case: &Case,
    files: &Files,
    probe_user: &Path,
    found: &mut Found,
) -> anyhow::Result<()> {
    let mut subject = Subject::start(case, files, plan.cpu, plan.batches)?;
    let unwatched = subject.measure()?;
    let Some(observer) = watch::observer(case.watcher, subject.pid(), probe_user, &files.hook)?
    else {
        found.push(unwatched.bare_ns, unwatched.hooked_ns);
        return Ok(());
    };
    let mut watched = || {
        let running = observer.start()?;
        let took = subject.measure()?;
        observer.check(&running.stop()?, 1)?;
        Ok(took)
    };
    // The bare read is the one that nobody watches: our kernel pair is in each call of a traced process.
    let watched = watched().map_err(|error: anyhow::Error| error.context(observer.name.clone()))?;
    found.push(unwatched.bare_ns, watched.hooked_ns);
    Ok(())
}

fn targets(case: &Case, found: &Found) -> Vec<Target> {
    let mut targets = Vec::new();
    if let (Some(limit_ns), Some(added_ns)) = (case.at_most_ns, found.added_ns) {
        targets.push(Target {
            what: format!("adds at most {limit_ns} ns"),
            verdict: Verdict::at_most(added_ns, f64::from(limit_ns)),
        });
    }
    if let (Some(times), Some(found)) = (case.times_cheaper, found.paper_adds_times) {
        targets.push(Target {
            what: format!("at least {times} times cheaper than the paper's"),
            verdict: Verdict::at_least(found, f64::from(times)),
        });
    }
    targets
}

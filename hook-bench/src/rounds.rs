//! The rounds: in each, every case is measured once, in a process of its own and in an order drawn
//! anew. So what drifts falls on all alike, and so does where a process happens to lie in memory.

use std::path::Path;

use bench_kit::estimate::{Target, Verdict};
use rand::SeedableRng as _;
use rand::seq::SliceRandom as _;
use rand_chacha::ChaCha8Rng;

use crate::cases::{Case, Watcher};
use crate::result::{Found, Missing, Report, ratio};
use crate::subject::{Files, Subject};
use crate::watch::{self, Watching};

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
        let name = case.name.to_owned();
        match watch::missing(case.watcher) {
            None => columns.push((
                case,
                Found {
                    name,
                    ..Found::default()
                },
            )),
            Some(reason) => report.missing.push(Missing {
                name,
                reason: reason.to_owned(),
            }),
        }
    }
    let mut random = ChaCha8Rng::seed_from_u64(plan.seed);
    let mut order: Vec<usize> = (0..columns.len()).collect();
    let mut given_up: Vec<Missing> = Vec::new();
    for round in 1..=plan.rounds {
        order.shuffle(&mut random);
        eprintln!("round {round} of {}", plan.rounds);
        for index in &order {
            let (case, found) = &mut columns[*index];
            if given_up.iter().any(|missing| missing.name == case.name) {
                continue;
            }
            let Err(error) = measure(plan, case, files, probe_user, found) else {
                continue;
            };
            if case.watcher == Watcher::Nobody {
                return Err(error.context(format!("case \"{}\"", case.name)));
            }
            // A tracer that fails takes nothing with it but its own case.
            given_up.push(Missing {
                name: case.name.to_owned(),
                reason: format!("from round {round} on: {error:#}"),
            });
        }
    }
    // An interval takes two rounds.
    columns.retain(|(case, found)| {
        found.added_by_round().len() >= 2
            || given_up.iter().all(|missing| missing.name != case.name)
    });
    report.missing.extend(given_up);
    for (_, found) in &mut columns {
        found.estimate();
    }
    let added: Vec<(&str, Vec<f64>)> = columns
        .iter()
        .map(|(case, found)| (case.name, found.added_by_round()))
        .collect();
    for (case, found) in &mut columns {
        let theirs = added.iter().find(|(name, _)| Some(*name) == case.peer);
        found.paper_adds_times =
            theirs.and_then(|(_, theirs)| ratio(theirs, &found.added_by_round()));
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
    if case.watcher == Watcher::Nobody {
        found.push(unwatched.bare_ns, unwatched.hooked_ns);
        return Ok(());
    }
    // The bare read is the one that nobody watches: our kernel pair is in each call of a traced process.
    if let Some(watching) = Watching::start(case.watcher, subject.pid(), probe_user, &files.hook)? {
        let watched = subject.measure()?;
        watching.stop()?;
        found.push(unwatched.bare_ns, watched.hooked_ns);
    }
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

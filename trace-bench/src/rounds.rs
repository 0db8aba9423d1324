//! The rounds: in each, every state is measured once, in an order drawn anew, so that what drifts falls
//! on all states alike.

use anyhow::{Context as _, ensure};
use rand::SeedableRng as _;
use rand::seq::SliceRandom as _;
use rand_chacha::ChaCha8Rng;
use serde_json::Value;

use crate::observer::{Observer, Owner, Proof};
use crate::others;
use crate::result::{Missing, Report, State};
use crate::running;
use crate::subject::Subject;
use crate::workload::Call;

/// How much is measured.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Rounds.
    pub rounds: u32,
    /// Batches of each call in a state, apart from those that warm up.
    pub batches: u32,
    /// Calls in a batch.
    pub calls: u32,
    /// Seed of the order.
    pub seed: u64,
}

/// The processes whose calls are timed.
#[derive(Debug)]
pub struct Subjects {
    /// Has the hook loaded, and is traced.
    pub traced: Subject,
    /// Has no hook, and is not.
    pub bystander: Subject,
}

/// How often a state is tried in a round when other tracers disturb it.
const ATTEMPTS: u32 = 5;

/// A state, and what has been found in it.
struct Column {
    observer: Observer,
    state: State,
    missing: Option<Missing>,
}

/// Runs the rounds. What fails is left out from then on, and named.
pub fn run(
    plan: Plan,
    observers: Vec<Observer>,
    subjects: &mut Subjects,
) -> anyhow::Result<Report> {
    let mut columns: Vec<Column> = observers
        .into_iter()
        .map(|observer| Column {
            state: State {
                name: observer.name.clone(),
                ..State::default()
            },
            observer,
            missing: None,
        })
        .collect();
    let mut random = ChaCha8Rng::seed_from_u64(plan.seed);
    let mut order: Vec<usize> = (0..columns.len()).collect();
    for round in 1..=plan.rounds {
        order.shuffle(&mut random);
        eprintln!("round {round} of {}", plan.rounds);
        for index in &order {
            columns[*index].measure(plan, subjects)?;
        }
    }
    let mut report = Report {
        rounds: plan.rounds,
        ..Report::default()
    };
    for column in columns {
        match column.missing {
            Some(missing) => report.missing.push(missing),
            None => report.states.push(column.state),
        }
    }
    Ok(report)
}

impl Column {
    /// Measures the state once. While others trace on this machine it is tried again, and in the end
    /// the round is without it.
    fn measure(&mut self, plan: Plan, subjects: &mut Subjects) -> anyhow::Result<()> {
        let mut took = [None; 3];
        for _ in 0..ATTEMPTS {
            if self.missing.is_some() {
                return Ok(());
            }
            let attempt = self.attempt(plan, subjects)?;
            if attempt.is_some() {
                took = attempt.map(|took| took.map(Some)).unwrap_or_default();
                break;
            }
        }
        let figures = [
            &mut self.state.traced_read,
            &mut self.state.function_call,
            &mut self.state.untraced_read,
        ];
        for (figure, took_ns) in figures.into_iter().zip(took) {
            figure.took_ns.push(took_ns);
        }
        Ok(())
    }

    /// What the calls took; `None` when that is worth nothing.
    fn attempt(&mut self, plan: Plan, subjects: &mut Subjects) -> anyhow::Result<Option<[f64; 3]>> {
        let running = if self.observer.command.is_empty() {
            None
        } else {
            match running::start(&self.observer) {
                Ok(running) => Some(running),
                Err(error) => {
                    self.fail(&error);
                    return Ok(None);
                }
            }
        };
        let us = std::process::id();
        let mut is_disturbed = others::are_tracing(us);
        let Subjects { traced, bystander } = subjects;
        let took = [
            take(traced, Call::ConnectionRead, plan)?,
            take(traced, Call::Function, plan)?,
            take(bystander, Call::ZeroRead, plan)?,
        ];
        is_disturbed |= others::are_tracing(us);
        let observed = running.map_or(Ok(()), |running| {
            let stdout = running.stop()?;
            check_observed(&self.observer, &stdout, plan)
        });
        if let Err(error) = observed {
            self.fail(&error);
        }
        Ok((!is_disturbed).then_some(took))
    }

    fn fail(&mut self, error: &anyhow::Error) {
        let reason = format!("{error:#}");
        self.missing = Some(Missing {
            name: self.observer.name.clone(),
            is_failure: self.observer.owner == Owner::Ours && !is_refusal(&reason),
            reason,
        });
    }
}

/// Whether `probe-user` has said that the kernel lacks a kind of probe.
fn is_refusal(reason: &str) -> bool {
    reason.contains("does not work here")
}

/// Warms up, measures, and returns what a call took, in ns.
fn take(subject: &mut Subject, call: Call, plan: Plan) -> anyhow::Result<f64> {
    subject.ns_per_call(call, plan.batches.div_ceil(4), plan.calls)?;
    subject.ns_per_call(call, plan.batches, plan.calls)
}

/// An observer that saw nothing has cost nothing: its figure would be worthless.
fn check_observed(observer: &Observer, stdout: &str, plan: Plan) -> anyhow::Result<()> {
    let kind = match observer.proof {
        Proof::None => return Ok(()),
        Proof::Histogram => {
            ensure!(stdout.contains('|'), "printed no histogram");
            return Ok(());
        }
        Proof::Spans(kind) => kind,
    };
    let result: Value = serde_json::from_str(stdout).context("printed no JSON")?;
    let seen = &result["spans"][kind]["count"];
    let made = u64::from(plan.batches) * u64::from(plan.calls);
    ensure!(
        seen.as_u64().is_some_and(|seen| seen >= made),
        "has seen {seen} calls, and there were at least {made}"
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAN: Plan = Plan {
        rounds: 1,
        batches: 2,
        calls: 50,
        seed: 1,
    };

    fn observer(owner: Owner, proof: Proof) -> Observer {
        Observer {
            name: "probes".to_owned(),
            owner,
            proof,
            command: Vec::new(),
            folder: None,
            says_when_attached: "",
        }
    }

    #[test]
    fn an_observer_must_have_seen_the_calls() {
        let reads = observer(Owner::Ours, Proof::Spans("hook"));
        let seen = |count| format!("{{\"spans\":{{\"hook\":{{\"count\":{count}}}}}}}");
        assert!(check_observed(&reads, &seen(100), PLAN).is_ok());
        assert!(check_observed(&reads, &seen(99), PLAN).is_err());
        assert!(check_observed(&reads, "{}", PLAN).is_err());
        assert!(check_observed(&reads, "", PLAN).is_err());
        let calls = observer(Owner::Ours, Proof::Spans("function"));
        assert!(check_observed(&calls, &seen(100), PLAN).is_err());
        let peer = observer(Owner::Peer, Proof::Histogram);
        assert!(check_observed(&peer, "[64, 128)  100 |@@@@@|", PLAN).is_ok());
        assert!(check_observed(&peer, "Attaching 2 probes...", PLAN).is_err());
    }

    #[test]
    fn what_the_kernel_lacks_is_no_failure_of_ours() {
        let failure = |owner, reason: &str| {
            let mut column = Column {
                observer: observer(owner, Proof::None),
                state: State::default(),
                missing: None,
            };
            column.fail(&anyhow::Error::msg(reason.to_owned()));
            column.missing.unwrap().is_failure
        };
        let refusal = "probe-user: --kernel-probe fentry does not work here: EPERM";
        assert!(!failure(Owner::Ours, refusal));
        assert!(failure(Owner::Ours, "the ledger does not balance"));
        assert!(!failure(Owner::Peer, "cannot start bpftrace"));
    }
}

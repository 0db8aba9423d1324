//! The rounds: in each, every state is measured once, in an order drawn anew, so that what drifts falls
//! on all states alike.

use crate::observer::Observer;
use crate::result::Missing;
use crate::rounds::interleaved;
use crate::trace::others;
use crate::trace::result::{Report, State};
use crate::trace::subject::Subject;
use crate::trace::workload::Call;

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
    let column = |observer| Column {
        state: State::default(),
        observer,
        missing: None,
    };
    let mut columns: Vec<Column> = observers.into_iter().map(column).collect();
    interleaved(plan.rounds, plan.seed, columns.len(), |_, index| {
        columns[index].measure(plan, subjects)
    })?;
    let mut report = Report {
        rounds: plan.rounds,
        ..Report::default()
    };
    for column in columns {
        match column.missing {
            Some(missing) => report.missing.push(missing),
            None => report.states.push(State {
                name: column.observer.name,
                ..column.state
            }),
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
        let running = match &self.observer {
            Observer { command, .. } if command.is_empty() => None,
            observer => match observer.start() {
                Ok(running) => Some(running),
                Err(error) => {
                    self.fail(&error);
                    return Ok(None);
                }
            },
        };
        let us = std::process::id().cast_signed();
        let mut is_disturbed = others::are_tracing(us);
        let Subjects { traced, bystander } = subjects;
        let took = [
            take(traced, Call::ConnectionRead, plan)?,
            take(traced, Call::Function, plan)?,
            take(bystander, Call::ZeroRead, plan)?,
        ];
        is_disturbed |= others::are_tracing(us);
        let observed = running.map_or(Ok(()), |running| {
            let made = u64::from(plan.batches) * u64::from(plan.calls);
            self.observer.check(&running.stop()?, made)
        });
        if let Err(error) = observed {
            self.fail(&error);
        }
        Ok((!is_disturbed).then_some(took))
    }

    fn fail(&mut self, error: &anyhow::Error) {
        let is_failure = self.observer.is_ours && !is_refusal(&format!("{error:#}"));
        self.missing = Some(Missing::failed(&self.observer.name, error, is_failure));
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observer::Proof;

    #[test]
    fn what_the_kernel_lacks_is_no_failure_of_ours() {
        let failure = |observer: &Observer, reason: &str| {
            let mut column = Column {
                observer: observer.clone(),
                state: State::default(),
                missing: None,
            };
            column.fail(&anyhow::Error::msg(reason.to_owned()));
            column.missing.unwrap().is_failure
        };
        let ours = Observer::ours("probes", Proof::None, Vec::new());
        let refusal = "probe-user: --kernel-probe fentry does not work here: EPERM";
        assert!(!failure(&ours, refusal));
        assert!(failure(&ours, "the ledger does not balance"));
        let peer = Observer::peer("bpftrace", &[], "");
        assert!(!failure(&peer, "cannot start bpftrace"));
    }
}

//! From rounds to what a probe adds.

use abi::SpanKind;
use anyhow::{Context as _, ensure};
use runlog::calibration::Calibrated;
use runlog::estimate::{Estimate, Unit};
use stats::{Interval, mean_interval};

use super::FUNCTION;
use super::subject::{Round, Subject};
use super::words::{Answer, Call};
use probes::KernelProbe;
use verdict::doubt::find;

/// What a round has found without any probe.
#[derive(Clone, Copy, Debug)]
pub struct Unwatched {
    /// A span between two clock reads in a row.
    pub clock: Answer,
    /// A system call that does nothing.
    pub no_work: Answer,
    /// The same after a pause.
    pub no_work_after_pause: Answer,
}

/// What is added to a duration in one round.
#[derive(Clone, Copy, Debug)]
#[allow(clippy::struct_field_names, reason = "units belong into names")]
struct Bias {
    mean_ns: f64,
    median_ns: f64,
    /// Median of calls that follow a pause, where that is known.
    after_pause_ns: Option<f64>,
}

/// What the probes of a subject add, one entry for each kind of span that they see.
pub fn calibrated(subject: &Subject, unwatched: &[Unwatched]) -> anyhow::Result<Vec<Calibrated>> {
    let ledger = subject.probes.ledger()?;
    ensure!(
        find::of_balance(&ledger).is_none(),
        "the ledger of the calibration does not balance: {:?}",
        ledger.causes
    );
    let mut results = Vec::new();
    let rounds_of = |call| {
        let position = subject.parts.iter().position(|part| part.call == call)?;
        Some(&subject.rounds[position])
    };
    let pair_costs: Vec<f64> = match rounds_of(Call::RefusedRead) {
        Some(rounds) => rounds.iter().map(cost_ns).collect(),
        None => vec![0.0; unwatched.len()],
    };
    for (part, rounds) in subject.parts.iter().zip(&subject.rounds) {
        let biases: Vec<Bias> = rounds
            .iter()
            .zip(unwatched)
            .map(|(round, unwatched)| bias(part.call, round, unwatched))
            .collect();
        let costs: Vec<f64> = rounds.iter().map(cost_ns).collect();
        let (attach_type, first_instruction) = match part.call {
            Call::Function(kind) => (FUNCTION.to_owned(), Some(kind.name().to_owned())),
            Call::HookedRead => (with_site(&subject.name), None),
            _ => (subject.name.clone(), None),
        };
        results.push(Calibrated {
            attach_type: attach_type.clone(),
            span: part.kind.name().to_owned(),
            first_instruction,
            caller_cost: Some(
                interval(&costs)
                    .map(|cost| estimate(cost, "what a call takes its caller longer"))?,
            ),
            ..biased(&biases)?
        });
        if part.call == Call::HookedRead {
            // Between the hook's first and last look at the clock are two clock reads, and the pair.
            let biases: Vec<Bias> = unwatched
                .iter()
                .zip(&pair_costs)
                .map(|(unwatched, pair_ns)| Bias {
                    mean_ns: 2.0 * unwatched.clock.mean_ns + pair_ns,
                    median_ns: 2.0 * unwatched.clock.median_ns + pair_ns,
                    after_pause_ns: None,
                })
                .collect();
            results.push(Calibrated {
                attach_type,
                span: SpanKind::HookSpan.name().to_owned(),
                ..biased(&biases)?
            });
        }
    }
    Ok(results)
}

fn with_site(pair: &str) -> String {
    if pair == KernelProbe::None.name() {
        "site".to_owned()
    } else {
        format!("site + {pair}")
    }
}

fn cost_ns(round: &Round) -> f64 {
    round.watched.back_to_back_ns - round.bare.back_to_back_ns
}

/// What the probes add to the duration that they see of a call.
fn bias(call: Call, round: &Round, unwatched: &Unwatched) -> Bias {
    match call {
        // The hook times itself: what it sees of nothing is one clock read.
        Call::HookedRead => Bias {
            mean_ns: unwatched.clock.mean_ns,
            median_ns: unwatched.clock.median_ns,
            after_pause_ns: None,
        },
        // The call's own work is no bias.
        Call::RefusedRead | Call::RefusedWrite => {
            let own_work_ns = round.bare.back_to_back_ns - unwatched.no_work.mean_ns;
            Bias {
                mean_ns: round.watched.seen_mean_ns - own_work_ns,
                median_ns: round.watched.seen_median_ns - own_work_ns,
                after_pause_ns: Some(
                    round.watched.seen_after_pause_ns
                        - (round.bare.after_pause_ns - unwatched.no_work_after_pause.median_ns),
                ),
            }
        }
        Call::Function(_) | Call::ClockTwice | Call::NoWork => Bias {
            mean_ns: round.watched.seen_mean_ns,
            median_ns: round.watched.seen_median_ns,
            after_pause_ns: Some(round.watched.seen_after_pause_ns),
        },
    }
}

/// An entry with nothing but its bias.
fn biased(biases: &[Bias]) -> anyhow::Result<Calibrated> {
    let means: Vec<f64> = biases.iter().map(|bias| bias.mean_ns).collect();
    let medians: Vec<f64> = biases.iter().map(|bias| bias.median_ns).collect();
    let after_pause: Option<Vec<f64>> = biases.iter().map(|bias| bias.after_pause_ns).collect();
    Ok(Calibrated {
        attach_type: String::new(),
        span: String::new(),
        first_instruction: None,
        bias_mean: estimate(
            interval(&means)?,
            "mean that probing adds to the duration seen",
        ),
        bias_median: estimate(
            interval(&medians)?,
            "median that probing adds to the duration seen",
        ),
        bias_after_pause: match after_pause {
            Some(after_pause) => Some(estimate(
                interval(&after_pause)?,
                "median that probing adds to the duration seen of calls that follow a pause",
            )),
            None => None,
        },
        caller_cost: None,
    })
}

fn interval(rounds: &[f64]) -> anyhow::Result<Interval> {
    ensure!(
        rounds.iter().all(|ns| ns.is_finite()),
        "a round saw nothing"
    );
    mean_interval(rounds).context("fewer than two rounds")
}

fn estimate(interval: Interval, estimand: &str) -> Estimate {
    verdict::estimate(
        interval,
        Unit::Ns,
        estimand,
        "Student's t on rounds of the calibration",
    )
}

#[cfg(test)]
mod tests;

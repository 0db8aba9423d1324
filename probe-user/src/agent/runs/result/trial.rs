//! What came of a trial: its arms share the processes of one arm of ours.

use abi::layout::bucket_of;
use probes::spans::Total;
use runlog::RunDirectory;
use runlog::agent_run::{Announcement, ArmResult, RunResult};
use runlog::analysis::ClockRelation;
use runlog::manifest::Placement;
use runlog::record::BracketedCall;
use runlog::table::Rows;
use runlog::trace::SpanSummary;
use verdict::doubt::find::of_agent_arm;
use verdict::doubt::{Doubt, Severity, of_clock, of_trial, words};
use verdict::trial::{clocks, read_on};

use super::{add_up, describe};
use crate::agent::recording::Recorded;
use crate::machine;

#[allow(
    clippy::cast_possible_truncation,
    reason = "an offset of clocks is a whole number of nanoseconds, and less than decades"
)]
fn whole_ns(offset_ns: f64) -> i64 {
    offset_ns as i64
}

/// Compares the arms, end to end by the request log and inside the server by the records in shared memory.
pub fn of(
    run: &RunDirectory,
    announced: &Announcement,
    recorded: Recorded,
    one_clock: Option<bool>,
) -> anyhow::Result<RunResult> {
    let recorded_s = recorded.until_ns.saturating_sub(recorded.from_ns) as f64 / 1e9;
    let placement = Placement {
        scheduling: recorded.scheduling,
        ..Placement::default()
    };
    let (requests, is_cut) = add_up(run, announced.arms.len())?;
    let mut of_server = ArmResult::default();
    if let Some(server) = recorded.arms.into_iter().next() {
        describe(&mut of_server, server);
    }
    let overheads = overheads(run, announced.arms.len())?;
    let numbered = announced.arms.iter().zip(requests).zip(overheads);
    let arms: Vec<ArmResult> = numbered
        .map(|((arm, requests), overhead)| {
            let mut result = ArmResult {
                hooked: of_server.hooked,
                ledger: of_server.ledger.clone(),
                not_written: of_server.not_written,
                unobserved_s: of_server.unobserved_s,
                ..requests.finish(&arm.name)
            };
            let of_reads = of_server.spans.get("read_syscall").cloned();
            result
                .spans
                .extend(of_reads.map(|spans| ("read_syscall".to_owned(), spans)));
            if overhead.count() > 0 {
                let durations = overhead.durations();
                let summary = SpanSummary::of(&durations.histogram, durations.sum_ns);
                result.spans.insert("hook_overhead".to_owned(), summary);
            }
            result
        })
        .collect();
    let relation = match one_clock {
        Some(true) => ClockRelation::One,
        Some(false) => ClockRelation::Two,
        None => ClockRelation::AssumedTwo,
    };
    let clocks = clocks(run, &announced.schedule, relation)?;
    let server_ahead_ns = clocks.map_or(0, |clocks| whole_ns(clocks.offset_ns));
    let trial = read_on(run, &announced.schedule, server_ahead_ns)?.result;
    let mut doubts: Vec<Doubt> = arms.iter().flat_map(of_agent_arm).collect();
    if is_cut {
        doubts.push(Doubt::LogCutShort);
    }
    doubts.extend(of_trial(&trial, &placement));
    doubts.extend(of_clock(&machine::environment()));
    let not_usable = words(&doubts, |severity| severity == Severity::NotUsable);
    Ok(RunResult {
        usable: not_usable.is_empty(),
        doubts: words(&doubts, |_| true),
        recorded_s,
        arms,
        trial: Some(Box::new(trial)),
        clocks,
    })
}

/// What the hook adds to calls, by arm, the delay of the arm included.
fn overheads(run: &RunDirectory, arms: usize) -> runlog::Result<Vec<Total>> {
    let mut totals = vec![Total::default(); arms];
    for call in Rows::<BracketedCall>::open(run.bracketed_calls())? {
        let call = call?;
        if let Some(total) = totals.get_mut(usize::from(call.arm))
            && call.flags & BracketedCall::REACHED_BACK != 0
        {
            let took_ns = call.overhead_ns() + u64::from(call.waited_ns);
            total.add_one(bucket_of(took_ns), took_ns);
        }
    }
    Ok(totals)
}

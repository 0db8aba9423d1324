//! What came of a run: its records joined to its requests.

mod trial;

use std::collections::BTreeMap;

use hdrhistogram::Histogram;
use runlog::RunDirectory;
use runlog::agent_run::{Announcement, ArmResult, RunResult};
use runlog::clock::Clock;
use runlog::interval_log::new_histogram;
use runlog::record::Request;
use runlog::summary::Latency;
use runlog::table::{Rows, TableWriter};
use stats::Trim;

use crate::agent::recording::{Recorded, RecordedArm};
use verdict::doubt::find::of_agent_arm;
use verdict::doubt::{Doubt, Severity, words};
use verdict::join::{Grouping, Source, Window};
use verdict::logs::{add_to_budgets, join_blocks};

/// The requests of one arm, added up.
struct RequestSums {
    requests: u64,
    warmup: u64,
    latency: Histogram<u64>,
    total_ns: u128,
}

/// Joins what was recorded to the request log of the run.
pub fn of(
    run: &RunDirectory,
    announced: &Announcement,
    recorded: Recorded,
) -> anyhow::Result<RunResult> {
    let one_clock = Clock::of_this_process()
        .zip(announced.clock.as_ref())
        .map(|(ours, theirs)| ours == *theirs);
    if announced.server.is_some() {
        return trial::of(run, announced, recorded, one_clock);
    }
    let window = Window {
        from_ns: recorded.from_ns,
        until_ns: recorded.until_ns,
    };
    let (requests, mut is_cut) = add_up(run, announced.arms.len())?;
    let mut arms = Vec::new();
    let numbered = (0_u16..).zip(&announced.arms);
    for (((number, arm), recorded), requests) in numbered.zip(recorded.arms).zip(requests) {
        let mut result = requests.finish(&arm.name);
        let source = Source {
            load: run.clone(),
            spans: recorded.folder.clone(),
            grouping: Grouping::All,
            wants: &|other, _| other == number,
            window,
            one_clock,
        };
        describe(&mut result, recorded);
        if result.hooked {
            is_cut |= join(&mut result, &source)?;
        }
        arms.push(result);
    }
    let mut doubts: Vec<Doubt> = arms.iter().flat_map(of_agent_arm).collect();
    if is_cut {
        doubts.push(Doubt::LogCutShort);
    }
    let doubts = words(&doubts, |severity| severity == Severity::NotUsable);
    Ok(RunResult {
        usable: doubts.is_empty(),
        doubts,
        recorded_s: window.until_ns.saturating_sub(window.from_ns) as f64 / 1e9,
        arms,
        trial: None,
        clocks: None,
    })
}

/// Puts in what the agent has seen of an arm.
fn describe(result: &mut ArmResult, recorded: RecordedArm) {
    let RecordedArm {
        trace,
        unobserved_s,
        ..
    } = recorded;
    result.hooked = trace.targets.iter().any(|target| target.hook.is_some());
    result.spans = trace.spans;
    result.ledger = trace.ledger;
    result.not_written = trace.events.map_or(0, |events| events.not_written);
    result.unobserved_s = unobserved_s;
}

/// Joins the records of an arm to its requests. Says whether a log was cut short.
fn join(result: &mut ArmResult, source: &Source<'_>) -> anyhow::Result<bool> {
    let mut table = TableWriter::create(source.spans.joined())?;
    let mut budgets = BTreeMap::new();
    let output = join_blocks(source, Some(&mut table), |block| {
        add_to_budgets(&mut budgets, block, Trim::USUAL);
    })?;
    table.finish()?;
    let budget = budgets.into_values().next();
    result.budget = budget.and_then(|budget| budget.finish(&result.arm));
    result.join = Some(output.join);
    Ok(output.cut_short)
}

/// Adds the request log up, by arm. Says whether it was cut short.
fn add_up(run: &RunDirectory, arms: usize) -> runlog::Result<(Vec<RequestSums>, bool)> {
    let mut sums: Vec<RequestSums> = (0..arms).map(|_| RequestSums::new()).collect();
    let mut rows = Rows::<Request>::open(run.requests())?;
    for row in rows.by_ref() {
        let row = row?;
        if let Some(sum) = sums.get_mut(usize::from(row.arm)) {
            sum.add(&row);
        }
    }
    Ok((sums, rows.was_cut_short()))
}

impl RequestSums {
    fn new() -> Self {
        Self {
            requests: 0,
            warmup: 0,
            latency: new_histogram(),
            total_ns: 0,
        }
    }

    fn add(&mut self, request: &Request) {
        if request.is_warmup() {
            self.warmup += 1;
            return;
        }
        self.requests += 1;
        if request.is_ok() {
            self.latency.saturating_record(request.latency_ns());
            self.total_ns += u128::from(request.latency_ns());
        }
    }

    fn finish(self, name: &str) -> ArmResult {
        let successes = self.latency.len();
        let at = |quantile| self.latency.value_at_quantile(quantile);
        ArmResult {
            arm: name.to_owned(),
            requests: self.requests,
            warmup_requests: self.warmup,
            errors: self.requests - successes,
            latency_ns: (successes > 0).then(|| Latency {
                mean: self.total_ns as f64 / successes as f64,
                p50: at(0.5),
                p90: at(0.9),
                p99: at(0.99),
                p999: at(0.999),
                max: self.latency.max(),
            }),
            ..ArmResult::default()
        }
    }
}

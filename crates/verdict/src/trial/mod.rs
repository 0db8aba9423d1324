//! A trial: arms that were drawn request by request are compared within each process of the server.
//!
//! The rules were fixed before there was any data. A response time is split at a threshold, one for all arms and processes, which
//! the warm-up alone decides: what lies below is the body, the rest the tail. Both together are the mean. Differences are
//! formed within blocks, so that what drifts between blocks is in none; intervals are over processes, which differ for as
//! long as they live.

mod agreement;
pub mod blind;
mod block;
mod calls;
mod carry_over;
mod clocks;
mod counts;
mod design;
mod effects;
mod figure;
mod in_situ;
mod rerandomisation;
mod slices;
pub mod undisturbed;

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Context as _;
use runlog::analysis::{InSitu, Macro};
use runlog::groups::Groups;
use runlog::manifest::Schedule;
use runlog::record::{ClientConnection, Request};
use runlog::summary::{LoadSummary, Model};
use runlog::table;
use runlog::trial::TrialResult;
use runlog::{RunDirectory, json};

use crate::blocks::RoundsOfTrial;
use crate::threshold::{self, Beforehand};
use crate::trial::block::{Block, Sample};
use crate::trial::calls::CallLog;
use crate::trial::counts::Tally;
use crate::trial::design::Design;
use crate::trial::effects::TimesByServer;
use crate::trial::in_situ::Layer;
use crate::trial::slices::Cut;
use crate::trial::undisturbed::{Processes, Span, Spans};

pub use clocks::clocks;
pub use slices::{LEAST_COMPLETIONS, NO_ROUNDS};

/// What came out of a trial, and what the layers are compared by.
#[derive(Debug)]
pub struct Found {
    /// As the run directory has it.
    pub result: TrialResult,
    design: Design,
    blocks: Vec<Block>,
    layer: Option<Layer>,
    undisturbed: Processes,
    /// Requests were sent at planned instants, whatever the server did.
    is_open_loop: bool,
}

/// What was read of a trial.
struct Read {
    blocks: Vec<Block>,
    times: TimesByServer,
    spans: BTreeMap<usize, Spans>,
    tally: Tally,
    calls: Option<CallLog>,
    connections: u64,
}

/// Reads a trial, and draws it up.
pub fn read(run: &RunDirectory, schedule: &Schedule) -> anyhow::Result<Found> {
    read_on(run, schedule, 0)
}

/// The same where the clock of the servers is ahead of the client's by this.
pub fn read_on(
    run: &RunDirectory,
    schedule: &Schedule,
    server_ahead_ns: i64,
) -> anyhow::Result<Found> {
    let design = Design::of(schedule)?;
    let arms = design.trial.arms().len();
    let is_first = |request: &Request| design.ordinal(request) == 0;
    // In a closed loop a request is due when it is sent.
    let beforehand = threshold::of_warm_up(run, arms, Request::latency_ns, is_first)
        .context("cannot read the trial's request log")?;
    let threshold_ns = beforehand.map(|of| of.threshold_ns);
    let Read {
        blocks,
        times,
        spans,
        tally,
        calls,
        connections,
    } = read_blocks(run, &design, beforehand, server_ahead_ns)
        .context("cannot read the trial's logs")?;
    let misplaced = calls.as_ref().map_or(0, CallLog::misplaced);
    let mut counts = tally
        .check(run, &design, connections, misplaced)
        .context("cannot read what the trial's servers counted")?;
    let never_reached = counts.as_ref().is_some_and(|counts| counts.never_reached);
    if let (Some(counts), Some(calls)) = (&mut counts, &calls) {
        counts.without_record = without_record(&design, &blocks);
        counts.functions = calls.functions();
    }
    let layer = match &calls {
        None => Err("there are no records of calls"),
        Some(_) if never_reached => Err(
            "the hook does not call through the dynamic linker: none of its calls got behind it",
        ),
        Some(_) => Layer::of(&design, &blocks),
    };
    let undisturbed = Processes::new(&design, spans.values(), layer.is_ok());
    let named = |arm: usize| design.trial.arms()[arm].to_string();
    let others = || {
        design
            .arms()
            .map(|(arm, _)| arm)
            .filter(|arm| *arm != design.off)
    };
    let processes: BTreeSet<usize> = blocks.iter().map(|block| block.server).collect();
    let result = TrialResult {
        trial: design.trial.to_string(),
        processes: processes.len(),
        threshold_ns,
        effects: others()
            .map(|arm| (named(arm), effects::of_arm(&design, &blocks, arm)))
            .collect(),
        by_process: effects::by_process(&design, &blocks),
        undisturbed: undisturbed.result(&design),
        quantiles: effects::of_quantiles(&design, &blocks, &times),
        doses: effects::of_doses(&design, &blocks),
        carry_over: carry_over::of_blocks(&design, &blocks),
        rerandomisation: rerandomisation::of_blocks(&blocks),
        counts,
        in_situ: layer.as_ref().ok().map(|layer| layer.bracket.clone()),
        in_situ_missing: layer.as_ref().err().map(|why| (*why).to_owned()),
        // Servers do not know when requests were sent.
        budgets: others()
            .filter(|_| !design.is_server_log())
            .filter_map(|arm| Some((named(arm), effects::budget(&design, &blocks, arm)?)))
            .collect(),
        in_situ_sources_differ_by: None,
        slices: Cut::new(&design, beforehand, server_ahead_ns)
            .map(|cut| Box::new(cut.result(&design, &blocks, beforehand))),
    };
    Ok(Found {
        result,
        design,
        blocks,
        layer: layer.ok(),
        undisturbed,
        is_open_loop: is_open_loop(run)?,
    })
}

/// Whether the load generator says so. A run that was cut off has no word of it, nor one of somebody else's.
fn is_open_loop(run: &RunDirectory) -> runlog::Result<bool> {
    if !run.load_summary().exists() {
        return Ok(false);
    }
    let summary: LoadSummary = json::read(&run.load_summary())?;
    Ok(summary
        .load
        .is_some_and(|load| load.model == Model::OpenLoop))
}

impl Found {
    /// Puts what is known end to end where all runs have it: the body of response times, or by slices the time per completed
    /// request. In an open loop that is the time between two that are sent, whatever the arm, and it is mean response times.
    pub fn fill_macro(&self, macro_: &mut Macro) {
        let mut bodies = BTreeMap::new();
        match &self.result.slices {
            Some(slices) if !self.is_open_loop => bodies.clone_from(&slices.effects),
            slices => {
                for (name, effect) in &self.result.effects {
                    let of_all = slices.as_ref().map(|_| effect.mean.clone());
                    let of_arm = of_all.unwrap_or_else(|| effect.body.clone());
                    bodies.extend(of_arm.map(|of_arm| (name.clone(), of_arm)));
                }
            }
        }
        macro_.difference = bodies.remove("on");
        macro_.a_a_difference = bodies.remove("null");
        macro_.other_differences = bodies;
        macro_.effects.clear();
        macro_.missing = macro_.difference.is_none().then(|| {
            match self.design.slices {
                Some(_) => NO_ROUNDS,
                None => {
                    "there are no two blocks with requests of off and on, or there is no warm-up"
                }
            }
            .to_owned()
        });
    }

    /// Whether no call of the hook ever got behind it.
    pub fn never_reached(&self) -> bool {
        let counts = self.result.counts.as_ref();
        counts.is_some_and(|counts| counts.never_reached)
    }

    /// The in-situ layer by the bracket's records, as all runs have it.
    pub fn in_situ(&self) -> InSitu {
        self.layer.as_ref().map_or_else(
            || InSitu {
                missing: self.result.in_situ_missing.clone(),
                ..InSitu::default()
            },
            |layer| layer.in_situ.clone(),
        )
    }
}

/// Reads the logs block by block.
fn read_blocks(
    run: &RunDirectory,
    design: &Design,
    beforehand: Option<Beforehand>,
    server_ahead_ns: i64,
) -> runlog::Result<Read> {
    let threshold_ns = beforehand.map(|of| of.threshold_ns);
    let connections: Vec<ClientConnection> = table::read_all(run.client_connections())?;
    let mut read = Read {
        blocks: Vec::new(),
        times: BTreeMap::new(),
        spans: BTreeMap::new(),
        tally: Tally::new(design),
        calls: CallLog::read(run, &design.trial, &connections, server_ahead_ns)?,
        connections: connections.len() as u64,
    };
    let mut rounds = RoundsOfTrial::default();
    let mut groups = Groups::open(run.requests(), |request: &Request| request.block)?;
    while let Some((number, mut requests)) = groups.next_group()? {
        let observed = requests.iter().any(Request::is_observed);
        let server = rounds.round_of(number, observed) % design.servers;
        requests.retain(|request| request.connection != Request::NO_CONNECTION);
        for request in &requests {
            read.tally.add(design, server, request);
        }
        if observed {
            continue;
        }
        requests.sort_unstable_by_key(|request| (request.connection, request.first_byte));
        let mut counting = Vec::with_capacity(requests.len());
        for requests in requests.chunk_by(|one, next| one.connection == next.connection) {
            let calls = read.calls.as_mut();
            let calls = calls.map(|calls| calls.of_connection(design, server, requests));
            let counts = |request: &Request| request.is_ok() && !request.is_warmup();
            let requests = requests.iter().enumerate();
            counting.extend(requests.filter(|(_, request)| counts(request)).map(
                |(index, request)| {
                    let calls = calls.as_ref().and_then(|calls| calls[index]);
                    (*request, calls)
                },
            ));
        }
        if let Some(cut) = Cut::new(design, beforehand, server_ahead_ns) {
            let rounds = cut.rounds(design, server, &counting, threshold_ns);
            read.blocks.extend(rounds);
            continue;
        }
        let samples = counting.iter().filter_map(|(request, calls)| {
            Some(Sample {
                arm: design.arm_of(request)?,
                connection: request.connection,
                ordinal: design.ordinal(request),
                took_ns: request.response_time_ns() as f64,
                calls: *calls,
            })
        });
        let samples: Vec<Sample> = samples.collect();
        if samples.is_empty() {
            continue;
        }
        let times = read.times.entry(server).or_default();
        let spans = read.spans.entry(server);
        let spans = spans.or_insert_with(|| vec![Vec::new(); design.trial.arms().len()]);
        for sample in &samples {
            spans[sample.arm].push(Span::of(sample));
            if let Some(place) = [design.off, design.on]
                .iter()
                .position(|arm| *arm == sample.arm)
            {
                times[place].push(sample.took_ns);
            }
        }
        let block = Block::new(design, number.into(), server, &samples, threshold_ns);
        read.blocks.push(block);
    }
    Ok(read)
}

/// The share of requests that count without a record, by arm.
fn without_record(design: &Design, blocks: &[Block]) -> BTreeMap<String, f64> {
    let of_arm = |(arm, of): (usize, abi::trial::Arm)| {
        let (mut all, mut recorded) = (0, 0);
        for arm in blocks.iter().filter_map(|block| block.arms.get(arm)) {
            all += arm.requests;
            recorded += arm.with_records + arm.of_other_arm;
        }
        (all > 0).then(|| (of.to_string(), 1.0 - recorded as f64 / all as f64))
    };
    design.arms().filter_map(of_arm).collect()
}

#[cfg(test)]
mod tests;

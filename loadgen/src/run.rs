//! `loadgen run`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context as _;
use cli::{End, outln};
use runlog::agent_run::Announcement;
use runlog::clock::Clock;
use runlog::gate::Event;
use runlog::live::{LiveEvent, Started};
use runlog::manifest::Schedule;
use runlog::summary::{self, Load, LoadSummary, Pacer};
use runlog::table::TableWriter;
use runlog::{RunDirectory, json};

use crate::agent::{self, AgentClock, announce, clock_of};
use crate::check::{allow_connections, check};
use crate::client::{ArmTarget, CutShort, Logs};
use crate::clock::{ServerClock, monotonic_ns, unix_ns};
use crate::export::{ArmKept, Start, export};
use crate::gate::Gate;
use crate::live::{self, Audience, Live};
use crate::numbering::Numbering;
use crate::options::RunArguments;
use crate::plan::Block;
use crate::scheduling::let_others_finish;
use crate::show::print_summary;
use crate::turn::{Runner, bind_to};

/// Runs the load.
pub fn run(arguments: &RunArguments) -> anyhow::Result<End> {
    check(arguments)?;
    allow_connections(arguments)?;
    let seed = arguments.seed.unwrap_or_else(unix_ns);
    let arms = arguments.named_arms();
    let clock = ServerClock::default();
    let targets = targets(arguments, arms.len(), seed, &clock)?;
    let stop = stop_on_signals()?;
    let design = arguments.design(u16::try_from(targets.len())?, seed);
    let runner = Runner::new(
        design.order.at_once(),
        arguments.settings(seed),
        &stop,
        &arguments.side_cpus,
    )?;
    let blocks = design.blocks();
    let schedule = arguments.schedule(seed);
    let planned = blocks
        .iter()
        .try_fold(0_u64, |sum, block| sum.checked_add(block.requests));
    // Before anything is written, as it may not want to.
    let agent = arguments.agent.client()?;
    let agent_clock = match &agent {
        Some(agent) if arguments.is_by_slices() => Some(clock_of(agent, &clock)?),
        _ => None,
    };
    let announced = announcement(arguments, &schedule, planned);
    let agent = agent.map(|agent| announce(agent, &announced)).transpose()?;
    let run = open_folder(arguments)?;
    let logs = Logs {
        requests: TableWriter::create(run.requests())?,
        connections: TableWriter::create(run.client_connections())?,
    };
    let start = Start {
        unix_ns: unix_ns(),
        monotonic_ns: monotonic_ns(),
    };
    let mut gate = arguments.gate.then(Gate::open);
    // Not yet bound to a CPU, so that it takes another than the load.
    let agent = agent.map(|agent| agent.stream(&run)).transpose()?;
    let started = Started {
        arms: arms.iter().map(|arm| arm.name.clone()).collect(),
        requests: planned,
        schedule: schedule.clone(),
        started_unix_ns: start.unix_ns,
    };
    let live = Live::start(Audience::of(arguments.live, arguments.gate), started, &stop)?;
    let mut load = Running {
        runner,
        targets,
        logs,
        stop,
        live,
        agent_clock,
        numbering: Numbering::new(&design),
        kept: vec![ArmKept::default(); arms.len()],
    };
    if let Some(cpu) = arguments.cpu {
        bind_to(cpu).context("--cpu")?;
    }
    let batch_scheduling = arguments.lets_others_finish()
        && let_others_finish().context("cannot choose how to be scheduled")?;
    let cut_short = load.run_blocks(&blocks, gate.as_mut())?;
    load.live.finish();
    load.logs.requests.finish()?;
    load.logs.connections.finish()?;

    let mut summary = LoadSummary {
        schema: summary::SCHEMA.to_owned(),
        cut_short: cut_short.as_ref().map(describe),
        schedule,
        started_unix_ns: start.unix_ns,
        started_monotonic_ns: start.monotonic_ns,
        clock: Clock::of_this_process(),
        load: Some(Load {
            batch_scheduling,
            ..arguments.load()
        }),
        arms: export(&run, &arms, &load.kept, start)?,
        agent: None,
    };
    json::write(&run.load_summary(), &summary)?;
    if let Some(agent) = agent {
        summary.agent = Some(Box::new(agent.finish(&summary)));
        json::write(&run.load_summary(), &summary)?;
    }
    let end = end_of(&summary);
    tell(arguments, summary, &run, gate.as_mut())?;
    Ok(end)
}

/// Says what came of the run to whom it concerns.
fn tell(
    arguments: &RunArguments,
    summary: LoadSummary,
    run: &RunDirectory,
    gate: Option<&mut Gate>,
) -> anyhow::Result<()> {
    for arm in &summary.arms {
        if let Some(mark) = arm.pacer.as_ref().and_then(Pacer::mark) {
            eprintln!("loadgen: arm {}: {mark}", arm.name);
        }
    }
    if let Some(gate) = gate {
        gate.tell(&Event::RunDone {
            cut_short: summary.cut_short.clone(),
        })?;
    } else if arguments.live {
        // Whoever listened may be gone. The files are there.
        let summary = Box::new(summary);
        let _ = live::tell(&LiveEvent::Done { summary });
    } else if arguments.json {
        outln!("{}", serde_json::to_string_pretty(&summary)?);
    } else {
        print_summary(&summary, run);
        if let Some(part) = &summary.agent {
            agent::print(part);
        }
    }
    Ok(())
}

/// How a run has ended. What the agent makes of it is said on stderr if it is no good.
fn end_of(summary: &LoadSummary) -> End {
    let agent = summary.agent.as_deref();
    let result = agent
        .and_then(|part| part.run.as_ref())
        .and_then(|run| run.result.as_ref());
    if let Some(trouble) = agent.and_then(|part| part.trouble.as_ref()) {
        eprintln!("loadgen: the load's own results are kept; {trouble}");
    } else if let Some(result) = result
        && !result.usable
        && let Some(doubt) = result.doubts.first()
    {
        eprintln!("loadgen: what the agent has joined is not usable: {doubt}");
    }
    let is_usable = result.is_some_and(|result| result.usable);
    if summary.cut_short.is_some() {
        End::CutShort
    } else if agent.is_some() && !is_usable {
        End::NotUsable
    } else {
        End::Complete
    }
}

/// What an agent is told of a run.
fn announcement(
    arguments: &RunArguments,
    schedule: &Schedule,
    requests: Option<u64>,
) -> Announcement {
    Announcement {
        arms: arguments.named_arms(),
        schedule: schedule.clone(),
        load: Some(arguments.load()),
        requests,
        server: arguments.server_of_trial().map(str::to_owned),
        clock: Clock::of_this_process(),
    }
}

/// The servers of each arm that has blocks of its own, of `arms` in all. Each must accept a connection.
fn targets(
    arguments: &RunArguments,
    arms: usize,
    seed: u64,
    clock: &ServerClock,
) -> anyhow::Result<Vec<Vec<ArmTarget>>> {
    let mut targets = Vec::new();
    let arms = u16::try_from(arms).context("too many arms")?;
    for (number, arm) in (0..).zip(&arguments.arms) {
        let others = arguments
            .servers
            .iter()
            .filter(|other| other.name == arm.name);
        let servers = [arm].into_iter().chain(others).map(|server| {
            Ok(ArmTarget {
                name: server.name.clone(),
                arms: match arguments.request.trial {
                    Some(_) => 0..arms,
                    None => number..number + 1,
                },
                requests: arguments
                    .request
                    .requests(server, arguments.sequence_header, seed)?
                    .by_clock(clock),
                address: server.reach()?,
            })
        });
        targets.push(servers.collect::<anyhow::Result<Vec<_>>>()?);
    }
    Ok(targets)
}

/// A flag that SIGINT and SIGTERM raise.
fn stop_on_signals() -> anyhow::Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        // The second signal ends the program at once, should the first not be heeded.
        signal_hook::flag::register_conditional_shutdown(signal, 130, Arc::clone(&stop))?;
        signal_hook::flag::register(signal, Arc::clone(&stop))?;
    }
    Ok(stop)
}

/// The folder that `--out` names, or a new one. A program at the gate has made it already and put
/// its own files there.
fn open_folder(arguments: &RunArguments) -> anyhow::Result<RunDirectory> {
    let root = match &arguments.out {
        Some(root) => root.clone(),
        None => RunDirectory::default_root("load"),
    };
    if arguments.gate {
        return Ok(RunDirectory::existing(root));
    }
    RunDirectory::create(root).context("cannot write to the folder of the run (--out)")
}

/// Everything that is open while blocks run.
struct Running {
    runner: Runner,
    /// The servers of each arm.
    targets: Vec<Vec<ArmTarget>>,
    logs: Logs,
    stop: Arc<AtomicBool>,
    live: Live,
    /// Of an agent on the servers' machine, where slices of time are cut by it.
    agent_clock: Option<AgentClock>,
    numbering: Numbering,
    /// What is known of each arm beside its requests; what no arm of a trial has for itself is the first's.
    kept: Vec<ArmKept>,
}

impl Running {
    fn run_blocks(
        &mut self,
        blocks: &[Block],
        mut gate: Option<&mut Gate>,
    ) -> anyhow::Result<Option<CutShort>> {
        let count = u32::try_from(blocks.len()).context("too many blocks")?;
        for turn in blocks.chunks(self.runner.at_once()) {
            let numbered = self.numbering.number(turn);
            if let Some(gate) = &mut gate {
                gate.tell(&Event::BlockPlanned {
                    block: numbered[0].number,
                    blocks: count,
                    arm: turn[0].arm,
                    observed: turn[0].observed,
                    beside: turn.get(1).map(|block| block.arm),
                })?;
                if !gate.wait() {
                    return Ok(Some(CutShort::Stopped));
                }
            }
            if let Some(clock) = &self.agent_clock
                && let Err(failure) = clock.read_again()
            {
                eprintln!(
                    "loadgen: cannot read the agent's clock, using the last reading: {failure}"
                );
            }
            if self.stop.load(Ordering::Relaxed) {
                return Ok(Some(CutShort::Stopped));
            }
            let reports =
                self.runner
                    .run(&numbered, &mut self.targets, &mut self.logs, &self.live)?;
            self.logs.flush()?;
            let requests: Vec<u64> = reports.iter().map(|report| report.requests).collect();
            self.numbering.note(turn, &requests);
            let mut end = Ok(());
            for (block, report) in turn.iter().zip(reports) {
                end = end.and(report.end.clone());
                self.kept[usize::from(block.arm)].add(block.observed, report);
            }
            if let Err(cut_short) = end {
                return Ok(Some(cut_short));
            }
            if let (Some(gate), Some(last)) = (&mut gate, numbered.last()) {
                gate.tell(&Event::BlockDone { block: last.number })?;
            }
        }
        Ok(None)
    }
}

fn describe(cut_short: &CutShort) -> String {
    match cut_short {
        CutShort::Stopped => "stopped by a signal".to_owned(),
        CutShort::ArmGone(reason) => reason.clone(),
    }
}

//! `loadgen run`.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use runlog::clock::Clock;
use runlog::gate::Event;
use runlog::manifest::Schedule;
use runlog::summary::{self, LoadSummary};
use runlog::table::TableWriter;
use runlog::{RunDirectory, json};

use crate::client::{ArmTarget, CutShort, Logs, Numbered};
use crate::clock::{TICK, monotonic_ns, unix_ns};
use crate::export::{Start, export_arm};
use crate::gate::Gate;
use crate::plan::{Block, Design, Order};
use crate::scheduling::let_others_finish;
use crate::target::Arm;
use crate::turn::Runner;

/// Options of `loadgen run`.
#[derive(Args, Debug)]
pub struct RunArguments {
    /// An arm and where its requests go; repeat for each arm
    #[arg(long = "arm", value_name = "NAME=URL", required = true)]
    pub arms: Vec<Arm>,

    /// Another server of an arm; repeat for more, as many for each arm. Its blocks take the servers in
    /// turn
    #[arg(long = "server", value_name = "NAME=URL")]
    pub servers: Vec<Arm>,

    /// Requests per arm
    #[arg(long, default_value_t = 50_000, value_name = "N")]
    pub requests: u64,

    /// Connections at a time, each new for every block
    #[arg(long, default_value_t = 1, value_name = "C")]
    pub connections: usize,

    /// Blocks per arm
    #[arg(long, default_value_t = 25, value_name = "B")]
    pub blocks: u32,

    /// Order of the blocks
    #[arg(long, value_enum, default_value_t = Order::Rmit)]
    pub order: Order,

    /// First requests of each arm that count as warm-up: sent and logged, left out of estimates
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub warmup: u64,

    /// First requests of each block that count as warm-up
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub block_warmup: u64,

    /// The CPU of each side of a duet; without it the kernel decides
    #[arg(long, value_name = "CPU,CPU", value_delimiter = ',')]
    pub side_cpus: Vec<usize>,

    /// Seed of the random order; drawn and recorded when not given
    #[arg(long, value_name = "S")]
    pub seed: Option<u64>,

    /// Folder for the run, new or empty [default: runs/load-TIME]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,

    /// Give up on a response after this many seconds; looked at every 0.1 s
    #[arg(long, default_value_t = 10.0, value_name = "SECONDS")]
    pub timeout: f64,

    /// Print the summary as JSON
    #[arg(long, conflicts_with = "gate")]
    pub json: bool,

    /// Test mode: number each request in a header X-Sequence
    #[arg(long)]
    pub sequence_header: bool,

    /// Give each arm as many requests and blocks again that are marked as observed, for programs
    /// that attach probes through --gate; summary, CSV and HDR log leave them out
    #[arg(long, requires = "gate")]
    pub observe: bool,

    /// Before each block, say so as JSON on stdout and wait for the line "go" on stdin; --out exists
    /// then, and may hold files
    #[arg(long, requires = "out")]
    pub gate: bool,
}

/// Runs the load. Returns whether it ran to its end.
pub fn run(arguments: &RunArguments) -> anyhow::Result<bool> {
    check(arguments)?;
    if arguments.connections > 1 {
        // With one connection there is never more than one response to take.
        let_others_finish().context("cannot choose how to be scheduled")?;
    }
    let mut targets = Vec::new();
    for arm in &arguments.arms {
        let others = arguments
            .servers
            .iter()
            .filter(|other| other.name == arm.name);
        let servers = [arm].into_iter().chain(others).map(|server| {
            Ok(ArmTarget {
                name: server.name.clone(),
                address: server.reach()?,
                request: server.request(arguments.sequence_header),
            })
        });
        targets.push(servers.collect::<anyhow::Result<Vec<_>>>()?);
    }
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        // The second signal ends the program at once, should the first not be heeded.
        signal_hook::flag::register_conditional_shutdown(signal, 130, Arc::clone(&stop))?;
        signal_hook::flag::register(signal, Arc::clone(&stop))?;
    }
    let seed = arguments.seed.unwrap_or_else(unix_ns);
    let design = Design {
        arms: u16::try_from(targets.len()).context("too many arms")?,
        observe: arguments.observe,
        requests: arguments.requests,
        blocks: arguments.blocks,
        servers: servers_per_arm(arguments),
        warmup: arguments.warmup,
        block_warmup: arguments.block_warmup,
        order: arguments.order,
        seed,
    };
    let timeout = Duration::from_secs_f64(arguments.timeout);
    let runner = Runner::new(
        design.order.at_once(),
        arguments.connections,
        timeout,
        &stop,
        &arguments.side_cpus,
    )?;
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
    let blocks = design.blocks();
    let bar = progress_bar(&blocks, arguments.gate);
    let mut load = Running {
        runner,
        targets,
        logs,
        stop,
        bar,
    };
    let cut_short = load.run_blocks(&blocks, gate.as_mut())?;
    load.bar.finish_and_clear();
    load.logs.requests.finish()?;
    load.logs.connections.finish()?;

    let mut summary = LoadSummary {
        schema: summary::SCHEMA.to_owned(),
        cut_short: cut_short.as_ref().map(describe),
        schedule: schedule(arguments, seed),
        started_unix_ns: start.unix_ns,
        started_monotonic_ns: start.monotonic_ns,
        clock: Clock::of_this_process(),
        arms: Vec::new(),
    };
    for (index, arm) in (0..).zip(&arguments.arms) {
        summary
            .arms
            .push(export_arm(&run, index, &arm.name, &arm.url, start)?);
    }
    json::write(&run.load_summary(), &summary)?;
    if let Some(gate) = &mut gate {
        gate.tell(&Event::RunDone {
            cut_short: summary.cut_short.clone(),
        })?;
    } else if arguments.json {
        println!("{}", serde_json::to_string_pretty(&summary)?);
    } else {
        print_summary(&summary, &run);
    }
    Ok(cut_short.is_none())
}

fn check(arguments: &RunArguments) -> anyhow::Result<()> {
    let RunArguments {
        arms,
        requests,
        connections,
        blocks,
        warmup,
        block_warmup,
        timeout,
        ..
    } = arguments;
    let mut names: Vec<&str> = arms.iter().map(|arm| arm.name.as_str()).collect();
    names.sort_unstable();
    if let Some([name, _]) = names.array_windows().find(|[left, right]| left == right) {
        bail!("--arm {name}: two arms have this name; names tell arms apart");
    }
    if *blocks == 0 || *requests < u64::from(*blocks) {
        bail!("--blocks {blocks}: must be from 1 to --requests ({requests})");
    }
    check_servers(arguments)?;
    check_order(arguments)?;
    if *connections == 0 || *connections > 50_000 {
        bail!("--connections {connections}: must be from 1 to 50000");
    }
    // The smallest block leaves the rest out.
    let block_requests = requests / u64::from(*blocks);
    if *connections as u64 > block_requests {
        bail!(
            "--connections {connections}: must be at most the requests of a block ({block_requests})"
        );
    }
    if *warmup >= *requests {
        bail!("--warmup {warmup}: must be below --requests ({requests})");
    }
    if *block_warmup >= block_requests {
        bail!(
            "--block-warmup {block_warmup}: must be below the requests of a block ({block_requests})"
        );
    }
    if !(TICK.as_secs_f64()..=3_600.0).contains(timeout) {
        bail!("--timeout {timeout}: must be from 0.1 to 3600 seconds");
    }
    Ok(())
}

/// Servers of each arm. Each has as many.
fn servers_per_arm(arguments: &RunArguments) -> u32 {
    let others = arguments.servers.len() / arguments.arms.len().max(1);
    u32::try_from(1 + others).unwrap_or(u32::MAX)
}

fn check_servers(arguments: &RunArguments) -> anyhow::Result<()> {
    for server in &arguments.servers {
        if !arguments.arms.iter().any(|arm| arm.name == server.name) {
            bail!("--server {}: there is no arm of this name", server.name);
        }
    }
    let wanted = servers_per_arm(arguments);
    for arm in &arguments.arms {
        let of_arm = arguments
            .servers
            .iter()
            .filter(|other| other.name == arm.name);
        if of_arm.count() + 1 != wanted as usize {
            bail!(
                "--server: arm {} has another number of servers than the others",
                arm.name
            );
        }
    }
    Ok(())
}

/// Checks what a duet takes.
fn check_order(arguments: &RunArguments) -> anyhow::Result<()> {
    let RunArguments {
        arms,
        order,
        blocks,
        side_cpus,
        ..
    } = arguments;
    if *order != Order::Duet {
        if !side_cpus.is_empty() {
            bail!("--side-cpus: only a duet (--order duet) has sides");
        }
        return Ok(());
    }
    if arms.len() < 2 {
        bail!("--order duet: two arms run at once; give a second --arm");
    }
    if !blocks.is_multiple_of(2) {
        bail!(
            "--blocks {blocks}: must be even in a duet (--order duet), as the arms change sides in \
             every second round"
        );
    }
    let two = matches!(side_cpus[..], [] | [_, _]);
    if !two || (side_cpus.len() == 2 && side_cpus[0] == side_cpus[1]) {
        bail!("--side-cpus: expected two different CPUs, as in 0,1");
    }
    Ok(())
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
    bar: ProgressBar,
}

impl Running {
    fn run_blocks(
        &mut self,
        blocks: &[Block],
        mut gate: Option<&mut Gate>,
    ) -> anyhow::Result<Option<CutShort>> {
        let count = u32::try_from(blocks.len()).context("too many blocks")?;
        let mut number = 0;
        let mut next_sequence = 0;
        for turn in blocks.chunks(self.runner.at_once()) {
            let beside = turn.get(1).map(|block| block.arm);
            if let Some(gate) = &mut gate {
                gate.tell(&Event::BlockPlanned {
                    block: number,
                    blocks: count,
                    arm: turn[0].arm,
                    observed: turn[0].observed,
                    beside,
                })?;
                if !gate.wait() {
                    return Ok(Some(CutShort::Stopped));
                }
            }
            if self.stop.load(Ordering::Relaxed) {
                return Ok(Some(CutShort::Stopped));
            }
            let mut numbered = Vec::new();
            let mut names = Vec::new();
            for block in turn {
                numbered.push(Numbered {
                    number,
                    first_sequence: next_sequence,
                    block: *block,
                });
                names.push(self.targets[usize::from(block.arm)][0].name.as_str());
                number += 1;
                next_sequence += block.requests;
            }
            self.bar.set_message(names.join(" beside "));
            let end = self
                .runner
                .run(&numbered, &mut self.targets, &mut self.logs, &self.bar)?;
            self.logs.flush()?;
            if let Err(cut_short) = end {
                return Ok(Some(cut_short));
            }
            if let Some(gate) = &mut gate {
                gate.tell(&Event::BlockDone { block: number - 1 })?;
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

fn schedule(arguments: &RunArguments, seed: u64) -> Schedule {
    Schedule {
        order: arguments.order.name().to_owned(),
        seed,
        connections: arguments.connections,
        requests_per_cell: arguments.requests,
        blocks_per_cell: arguments.blocks,
        servers_per_arm: servers_per_arm(arguments),
        warmup_requests: arguments.warmup,
        block_warmup_requests: arguments.block_warmup,
    }
}

fn progress_bar(blocks: &[Block], quiet: bool) -> ProgressBar {
    let total = blocks.iter().map(|block| block.requests).sum();
    // Hidden by itself when stderr is no terminal.
    let target = if quiet {
        ProgressDrawTarget::hidden()
    } else {
        ProgressDrawTarget::stderr()
    };
    let style = ProgressStyle::with_template(
        "{bar:30} {human_pos}/{human_len} requests  {per_sec}  {msg}  {eta} left",
    );
    ProgressBar::with_draw_target(Some(total), target)
        .with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

fn print_summary(summary: &LoadSummary, run: &RunDirectory) {
    println!(
        "{:<16} {:>10} {:>8} {:>12} {:>10} {:>10} {:>10} {:>10} {:>10}",
        "arm",
        "requests",
        "errors",
        "requests/s",
        "mean µs",
        "p50 µs",
        "p90 µs",
        "p99 µs",
        "max µs"
    );
    for arm in &summary.arms {
        print!(
            "{:<16} {:>10} {:>8} {:>12.0}",
            arm.name, arm.requests, arm.errors, arm.requests_per_second
        );
        match &arm.latency_ns {
            Some(latency) => {
                print!(" {:>10.2}", latency.mean / 1e3);
                for quantile in [latency.p50, latency.p90, latency.p99, latency.max] {
                    print!(" {:>10.2}", quantile as f64 / 1e3);
                }
                println!();
            }
            None => println!("  no request succeeded"),
        }
        for (kind, count) in &arm.errors_by_kind {
            println!("{:<16} {count:>10} {kind}", "");
        }
    }
    println!("\nwritten to {}", run.root().display());
    if let Some(reason) = &summary.cut_short {
        println!("cut short: {reason}");
    }
}

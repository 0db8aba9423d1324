//! What the hook adds to a read: beside no hook and beside the paper's, in rounds.
//!
//! [`workload`] is a process whose reads are timed, [`subject`] that process as the bench sees it,
//! [`corpus`] what it reads. [`cases`] lists what is measured, [`rounds`] interleaves, [`watch`] has tracers
//! look on, [`table`] prints the [`result`]. [`instructions`] counts instead of timing.

mod calls;
mod cases;
mod corpus;
mod instructions;
mod result;
mod rounds;
mod subject;
mod table;
mod watch;
mod workload;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use bench_kit::machine::{beside_us, cpu_name, kernel};
use clap::{Parser, Subcommand};
use rand::Rng as _;

use crate::cases::{CASES, Case};
use crate::rounds::Plan;
use crate::subject::Files;
use crate::workload::WorkerArguments;

/// Measures what the hook adds to a read, beside no hook and beside the paper's.
#[derive(Debug, Parser)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
#[command(after_help = "\
Examples:
  hook-bench --peer target/peers/paper_hook.so --only '160 B' --rounds 10
  hook-bench --peer target/peers/paper_hook.so --json > hook.json

`cargo xtask bench-hook` builds what it takes, and runs it.")]
struct Arguments {
    #[command(subcommand)]
    command: Option<Task>,

    /// Rounds; in each, every case is measured once, in a new process
    #[arg(long, default_value_t = 20, value_name = "N", value_parser = clap::value_parser!(u32).range(2..))]
    rounds: u32,

    /// Batches of each read in a round
    #[arg(long, default_value_t = 150, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    batches: u32,

    /// Measure just the cases whose name contains one of these words
    #[arg(long, value_name = "WORD")]
    only: Vec<String>,

    /// CPU of the process whose reads are timed [default: the last]
    #[arg(long, value_name = "CPU")]
    cpu: Option<usize>,

    /// Seed of the order [default: drawn]
    #[arg(long, value_name = "S")]
    seed: Option<u64>,

    /// The hook [default: readhook.so beside this program]
    #[arg(long, value_name = "LIBRARY")]
    hook: Option<PathBuf>,

    /// The paper's hook
    #[arg(long, value_name = "LIBRARY", required = true)]
    peer: Option<PathBuf>,

    /// Count instructions by callgrind, instead of nanoseconds
    #[arg(long, requires = "without_sites")]
    instructions: bool,

    /// With --instructions: the hook, built without probe sites
    #[arg(long, value_name = "LIBRARY", requires = "instructions")]
    without_sites: Option<PathBuf>,

    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// The process whose reads are timed
    #[command(hide = true)]
    Worker(WorkerArguments),
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let result = match &arguments.command {
        Some(Task::Worker(arguments)) => workload::work(arguments).map(|()| ExitCode::SUCCESS),
        None => measure(&arguments),
    };
    match result {
        Ok(code) => code,
        Err(error) => {
            eprintln!("hook-bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn measure(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let logs = tempfile::tempdir()?;
    let files = Files {
        hook: given_or_beside_us(arguments.hook.as_deref(), "readhook.so")?,
        peer: given_or_beside_us(arguments.peer.as_deref(), "paper_hook.so")?,
        logs: logs.path().to_owned(),
    };
    let wanted = |case: &&Case| {
        let is_named = |word: &String| case.name.contains(word.as_str());
        arguments.only.is_empty() || arguments.only.iter().any(is_named)
    };
    let cases: Vec<Case> = CASES.iter().filter(wanted).copied().collect();
    if cases.is_empty() {
        bail!("--only: no case has a name with any of these words");
    }
    if let (true, Some(without_sites)) = (arguments.instructions, &arguments.without_sites) {
        let found = instructions::count(&cases, &files, without_sites)?;
        if arguments.json {
            println!("{}", serde_json::to_string_pretty(&found)?);
        } else {
            instructions::print(&found);
        }
        // Instructions do not depend on what else the machine does, so their target can be held to.
        return Ok(ExitCode::from(u8::from(!found.sites_too_dear.is_empty())));
    }
    let cpus = std::thread::available_parallelism()?.get();
    let plan = Plan {
        rounds: arguments.rounds,
        batches: usize::try_from(arguments.batches)?,
        cpu: arguments.cpu.unwrap_or(cpus - 1),
        seed: arguments.seed.unwrap_or_else(|| rand::rng().random()),
    };
    let probe_user = beside_us("probe-user");
    let mut report = rounds::run(plan, &cases, &files, &probe_user)?;
    report.kernel = kernel();
    report.cpu = cpu_name();
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        table::print(&report);
    }
    Ok(ExitCode::SUCCESS)
}

fn given_or_beside_us(given: Option<&Path>, name: &str) -> anyhow::Result<PathBuf> {
    let path = given.map_or_else(|| beside_us(name), Path::to_owned);
    if !path.is_file() {
        bail!(
            "there is no {}; `cargo xtask bench-hook` builds it",
            path.display()
        );
    }
    path.canonicalize()
        .with_context(|| path.display().to_string())
}

//! What tracing adds to a read: our probes and other tools, attached to the same process one after the
//! other, in rounds.
//!
//! [`workload`] is the process whose calls are timed; [`subject`] is that process as the bench sees it.
//! [`observer`] lists what observes, [`running`] starts and stops it, [`rounds`] interleaves, [`flood`]
//! looks for lost records, [`table`] prints the [`result`].

mod calls;
mod flood;
mod observer;
mod others;
mod result;
mod rounds;
mod running;
mod subject;
mod table;
mod workload;

use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use bench_kit::machine::{built_beside_us, kernel};
use clap::{Parser, Subcommand};
use rand::Rng as _;

use crate::observer::{NOTHING, Observer, Places};
use crate::result::Missing;
use crate::rounds::{Plan, Subjects};
use crate::subject::Subject;

/// What builds the programs that are measured.
const TASK: &str = "cargo xtask bench-trace";

/// Measures what tracing adds to a read, of our probes and of others'.
#[derive(Debug, Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,

    /// Rounds; in each, every observer is attached and detached once
    #[arg(long, default_value_t = 12, value_name = "N", value_parser = clap::value_parser!(u32).range(2..))]
    rounds: u32,

    /// Batches of each call that a state is measured by, in a round
    #[arg(long, default_value_t = 400, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    batches: u32,

    /// Calls in a batch: few, so that few batches are interrupted
    #[arg(long, default_value_t = 100, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    calls: u32,

    /// Measure just the observers whose name contains one of these words
    #[arg(long, value_name = "WORD")]
    only: Vec<String>,

    /// Measure our own probes alone, and lose no records on purpose
    #[arg(long)]
    no_peers: bool,

    /// Seconds to wait before the first round, for a machine that has just booted to come to rest
    #[arg(long, default_value_t = 0, value_name = "S")]
    wait_s: u64,

    /// CPU of the processes whose calls are timed [default: the last]
    #[arg(long, value_name = "CPU")]
    cpu: Option<usize>,

    /// Seed of the order [default: drawn]
    #[arg(long, value_name = "S")]
    seed: Option<u64>,

    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// The process whose calls are timed
    #[command(hide = true)]
    Workload {
        /// The CPU to run on
        #[arg(long)]
        cpu: Option<usize>,
    },
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let result = match arguments.command {
        Some(Command::Workload { cpu }) => workload::work(cpu).map(|()| ExitCode::SUCCESS),
        None => measure(&arguments),
    };
    match result {
        Ok(code) => code,
        Err(error) => {
            eprintln!("trace-bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn measure(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    thread::sleep(Duration::from_secs(arguments.wait_s));
    let probe_user = built_beside_us("probe-user", TASK)?;
    let hook = built_beside_us("readhook.so", TASK)?;
    let folder = tempfile::tempdir()?;
    let cpus = thread::available_parallelism()?.get();
    let cpu = arguments.cpu.unwrap_or(cpus - 1);
    let mut subjects = Subjects {
        traced: Subject::start(Some(&hook), cpu)?,
        bystander: Subject::start(None, cpu)?,
    };
    let places = Places {
        probe_user: &probe_user,
        hook: &hook,
        pid: subjects.traced.pid(),
        records: folder.path(),
    };
    let mut observers = observer::ours(places);
    if !arguments.no_peers {
        observers.extend(observer::peers(places)?);
    }
    let wanted = |observer: &Observer| {
        let is_named = |word: &String| observer.name.contains(word.as_str());
        arguments.only.is_empty() || observer.name == NOTHING || arguments.only.iter().any(is_named)
    };
    observers.retain(wanted);
    let plan = Plan {
        rounds: arguments.rounds,
        batches: arguments.batches,
        calls: arguments.calls,
        seed: arguments.seed.unwrap_or_else(|| rand::rng().random()),
    };
    let mut report = rounds::run(plan, observers, &mut subjects)?;
    report.kernel = kernel();
    report.compare_with(NOTHING);
    let everything = observer::everything(places);
    if !arguments.no_peers && wanted(&everything) {
        match flood::run(&everything, &mut subjects.traced, cpus) {
            Ok(floods) => report.floods = floods,
            Err(error) => report.missing.push(Missing {
                name: "records until the ring buffer drops".to_owned(),
                reason: format!("{error:#}"),
                is_failure: true,
            }),
        }
    }
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        table::print(&report);
    }
    let has_failed = report.missing.iter().any(|missing| missing.is_failure);
    Ok(ExitCode::from(u8::from(has_failed)))
}

//! What tracing adds to a read: our probes and other tools, attached to the same process one after the
//! other, in rounds.
//!
//! [`workload`] is the process whose calls are timed; [`subject`] is that process as the bench sees it.
//! [`states`] lists what observes, [`rounds`] interleaves, [`others`] tells when somebody else traces, [`flood`] looks
//! for lost records, [`table`] prints the [`result`].

mod calls;
mod flood;
mod others;
mod result;
mod rounds;
mod states;
mod subject;
mod table;
mod workload;

use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use clap::Args;

use crate::machine::{built_beside_us, kernel};
use crate::observer::Observer;
use crate::result::{Missing, exit_code, show};
use crate::rounds::Seed;
use crate::trace::rounds::{Plan, Subjects};
use crate::trace::states::{NOTHING, Places};
use crate::trace::subject::Subject;
pub use crate::trace::workload::work;

/// What builds the programs that are measured.
const TASK: &str = "cargo xtask bench-trace";

/// Options of `bench trace`.
#[derive(Args, Debug)]
pub struct Arguments {
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

    #[command(flatten)]
    seed: Seed,

    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

/// Measures, and shows what was found.
pub fn measure(arguments: &Arguments) -> anyhow::Result<ExitCode> {
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
    let mut observers = states::ours(places)?;
    if !arguments.no_peers {
        observers.extend(states::peers(places)?);
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
        seed: arguments.seed.drawn(),
    };
    let mut report = rounds::run(plan, observers, &mut subjects)?;
    report.kernel = kernel();
    report.compare_with(NOTHING);
    let everything = states::everything(places);
    if !arguments.no_peers && wanted(&everything) {
        match flood::run(&everything, &mut subjects.traced, cpus) {
            Ok(floods) => report.floods = floods,
            Err(error) => report.missing.push(Missing::failed(
                "records until the ring buffer drops",
                &error,
                true,
            )),
        }
    }
    show(&report, arguments.json, table::print)?;
    Ok(exit_code(&report.missing))
}

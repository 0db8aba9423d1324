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

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use clap::Args;

use crate::hook::cases::{CASES, Case};
use crate::hook::rounds::Plan;
use crate::hook::subject::Files;
pub use crate::hook::workload::{WorkerArguments, work};
use crate::machine::{beside_us, built, cpu_name, kernel};
use crate::result::show;
use crate::rounds::Seed;

/// Options of `bench hook`.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  bench hook --peer target/peers/paper_hook.so --only '160 B' --rounds 10
  bench hook --peer target/peers/paper_hook.so --json > hook.json

`cargo xtask bench-hook` builds what it takes, and runs it.")]
pub struct Arguments {
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

    #[command(flatten)]
    seed: Seed,

    /// The hook [default: readhook.so beside this program]
    #[arg(long, value_name = "LIBRARY")]
    hook: Option<PathBuf>,

    /// The paper's hook
    #[arg(long, value_name = "LIBRARY")]
    peer: PathBuf,

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

/// Measures, and shows what was found.
pub fn measure(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let logs = tempfile::tempdir()?;
    let files = Files {
        hook: absolute(
            arguments
                .hook
                .clone()
                .unwrap_or_else(|| beside_us("readhook.so")),
        )?,
        peer: absolute(arguments.peer.clone())?,
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
        show(&found, arguments.json, instructions::print)?;
        // Instructions do not depend on what else the machine does, so their target can be held to.
        return Ok(ExitCode::from(u8::from(!found.sites_too_dear.is_empty())));
    }
    let cpus = std::thread::available_parallelism()?.get();
    let plan = Plan {
        rounds: arguments.rounds,
        batches: usize::try_from(arguments.batches)?,
        cpu: arguments.cpu.unwrap_or(cpus - 1),
        seed: arguments.seed.drawn(),
    };
    let probe_user = beside_us("probe-user");
    let mut report = rounds::run(plan, &cases, &files, &probe_user)?;
    report.kernel = kernel();
    report.cpu = cpu_name();
    show(&report, arguments.json, table::print)?;
    Ok(ExitCode::SUCCESS)
}

fn absolute(library: PathBuf) -> anyhow::Result<PathBuf> {
    let library = built(library, "cargo xtask bench-hook")?;
    library
        .canonicalize()
        .with_context(|| library.display().to_string())
}

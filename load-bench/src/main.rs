//! Our load generator beside others, on nginx on the loopback address, in rounds.
//!
//! [`plan`] says what is measured and what is to be reached; [`rounds`] interleaves. [`generator`] knows how each
//! generator is asked for a load and what it says then, [`child`] runs it, [`observed`] has our probes look at its
//! sockets, [`server`] is what it loads. [`table`] prints the [`result`].

mod bins;
mod child;
mod generator;
mod observed;
mod plan;
mod result;
mod rounds;
mod server;
mod table;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use anyhow::{Context as _, bail};
use bench_kit::machine::{built_beside_us, cpu_name, is_installed, kernel};
use clap::Parser;
use rand::Rng as _;

use crate::generator::{Generator, Kind};
use crate::plan::{Placement, Plan};
use crate::result::Missing;
use crate::rounds::Rounds;
use crate::server::Server;

/// Measures our load generator beside others: speed, and how true its latencies are.
#[derive(Debug, Parser)]
#[command(after_help = "\
Examples:
  load-bench --placement one --connections 1,32 --rounds 10
  load-bench --no-speed --rounds 20                       how true latencies are, alone
  load-bench --oha target/tools/bin/oha --json > load.json

`cargo xtask bench-load` builds what it takes, and runs it. Exit codes: 0 complete, 1 error, 3 cut short")]
struct Arguments {
    /// Rounds; in each, every generator meets every load once
    #[arg(long, default_value_t = 10, value_name = "N", value_parser = clap::value_parser!(u32).range(2..))]
    rounds: u32,

    /// Length of each load
    #[arg(long, default_value_t = 1, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..=60))]
    seconds: u32,

    /// Numbers of connections
    #[arg(long, default_value = "1,32,256", value_name = "N,…", value_delimiter = ',', value_parser = clap::value_parser!(u32).range(1..=1_000))]
    connections: Vec<u32>,

    /// Server and generator on one core or each on its own [default: both, one after the other]
    #[arg(long, value_enum)]
    placement: Option<Placement>,

    /// Measure just these generators, and ours
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,

    /// Leave speed out
    #[arg(long, conflicts_with = "no_fidelity")]
    no_speed: bool,

    /// Leave out how true latencies are, which takes root
    #[arg(long)]
    no_fidelity: bool,

    /// oha's program [default: from the PATH]
    #[arg(long, value_name = "PROGRAM")]
    oha: Option<PathBuf>,

    /// Locust's program [default: from the PATH]
    #[arg(long, value_name = "PROGRAM")]
    locust: Option<PathBuf>,

    /// CPU of the server [default: the first]
    #[arg(long, default_value_t = 0, value_name = "CPU")]
    server_cpu: usize,

    /// Seed of the order [default: drawn]
    #[arg(long, value_name = "S")]
    seed: Option<u64>,

    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

fn main() -> ExitCode {
    match measure(&Arguments::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("load-bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn measure(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let mut missing = Vec::new();
    let generators = generators(arguments, &mut missing)?;
    let plan = plan(arguments, &mut missing)?;
    let probe_user = probe_user(arguments, &mut missing)?;
    if !is_installed("nginx") {
        bail!("nginx is not installed; it is the server that is loaded");
    }
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        // The second signal ends the program at once, should the first not be heeded.
        signal_hook::flag::register_conditional_shutdown(signal, 130, Arc::clone(&stop))?;
        signal_hook::flag::register(signal, Arc::clone(&stop))?;
    }
    let programs = generators.iter().map(Generator::version).collect();
    let server = Server::start(arguments.server_cpu)?;
    let mut report = Rounds::new(&plan, server, generators, probe_user, &stop).run();
    report.kernel = kernel();
    report.cpu = cpu_name();
    report.programs = programs;
    report.missing.splice(0..0, missing);
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        table::print(&report);
    }
    let has_failed = report.missing.iter().any(|missing| missing.is_failure);
    Ok(match (has_failed, report.cut_short) {
        (true, _) => ExitCode::FAILURE,
        (false, true) => ExitCode::from(3),
        (false, false) => ExitCode::SUCCESS,
    })
}

/// Ours, and those of the others that are here.
fn generators(arguments: &Arguments, missing: &mut Vec<Missing>) -> anyhow::Result<Vec<Generator>> {
    let Arguments {
        only, oha, locust, ..
    } = arguments;
    if let Some(unknown) = only
        .iter()
        .find(|name| Kind::ALL.iter().all(|kind| kind.name() != *name))
    {
        let names = Kind::ALL.map(Kind::name).join(", ");
        bail!("--only {unknown}: there is no such generator; there are {names}");
    }
    let wanted = |kind: &Kind| {
        *kind == Kind::Ours || only.is_empty() || only.iter().any(|name| name == kind.name())
    };
    let mut found = Vec::new();
    for kind in Kind::ALL.into_iter().filter(wanted) {
        let given = match kind {
            Kind::Ours => Some(built_beside_us("loadgen", "cargo xtask bench-load")?),
            Kind::Oha => oha.clone(),
            Kind::Locust | Kind::LocustFast => locust.clone(),
            Kind::Wrk => None,
        };
        match given {
            Some(program) if !program.is_file() => {
                bail!("there is no {}", program.display());
            }
            Some(program) => found.push(Generator { kind, program }),
            None if is_installed(kind.program()) => found.push(Generator {
                kind,
                program: kind.program().into(),
            }),
            None => missing.push(Missing {
                name: kind.name().to_owned(),
                reason: "is not installed".to_owned(),
                is_failure: false,
            }),
        }
    }
    Ok(found)
}

fn plan(arguments: &Arguments, missing: &mut Vec<Missing>) -> anyhow::Result<Plan> {
    let server = arguments.server_cpu;
    let cpus = std::thread::available_parallelism()
        .context("cannot count the CPUs")?
        .get();
    if server >= cpus {
        bail!("--server-cpu {server}: there are CPUs 0 to {}", cpus - 1);
    }
    let other = (server + 1) % cpus;
    let mut placements = match arguments.placement {
        Some(placement) => vec![placement],
        None => vec![Placement::One, Placement::Two],
    };
    if other == server && placements.contains(&Placement::Two) {
        placements.retain(|placement| *placement == Placement::One);
        missing.push(Missing {
            name: Placement::Two.to_string(),
            reason: "this machine has one".to_owned(),
            is_failure: false,
        });
    }
    if arguments.no_speed {
        placements.clear();
    }
    Ok(Plan {
        rounds: arguments.rounds,
        seconds: arguments.seconds,
        connections: arguments.connections.clone(),
        placements,
        cpus: [server, other],
        seed: arguments.seed.unwrap_or_else(|| rand::rng().random()),
    })
}

/// What attaches our probes, where fidelity is wanted and can be had.
fn probe_user(
    arguments: &Arguments,
    missing: &mut Vec<Missing>,
) -> anyhow::Result<Option<PathBuf>> {
    if arguments.no_fidelity {
        return Ok(None);
    }
    if !rustix::process::geteuid().is_root() {
        missing.push(Missing {
            name: "fidelity".to_owned(),
            reason: "probes need root".to_owned(),
            is_failure: false,
        });
        return Ok(None);
    }
    built_beside_us("probe-user", "cargo xtask bench-load").map(Some)
}

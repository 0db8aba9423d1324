//! Our load generator beside others, on nginx on the loopback address, in rounds.
//!
//! [`plan`] says what is measured and what is to be reached; [`rounds`] interleaves. [`generator`] knows how each
//! generator is asked for a load and what it says then, [`child`] runs it, [`observed`] has our probes look at its
//! sockets, [`server`] is what it loads. [`table`] prints the [`result`].

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
use clap::Args;

use crate::load::generator::{Generator, Kind};
use crate::load::plan::{Placement, Plan};
use crate::load::rounds::Rounds;
use crate::load::server::Server;
use crate::machine::{built_beside_us, cpu_name, is_installed, kernel};
use crate::result::{Missing, exit_code, show};
use crate::rounds::Seed;

/// Options of `bench load`.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  bench load --placement one --connections 1,32 --rounds 10
  bench load --no-speed --rounds 20                       how true latencies are, alone
  bench load --oha target/tools/bin/oha --json > load.json

`cargo xtask bench-load` builds what it takes, and runs it. Exit codes: 0 complete, 1 error, 3 cut short")]
pub struct Arguments {
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

    /// Measure just wrk, and ours: the others take a build
    #[arg(long, conflicts_with = "only")]
    quick: bool,

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

    #[command(flatten)]
    seed: Seed,

    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

/// Measures, and shows what was found.
pub fn measure(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let mut missing = Vec::new();
    let generators = generators(arguments, &mut missing)?;
    let plan = plan(arguments, &mut missing)?;
    let has_fidelity = has_fidelity(arguments, &mut missing);
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
    let mut report = Rounds::new(&plan, server, generators, has_fidelity, &stop).run();
    report.kernel = kernel();
    report.cpu = cpu_name();
    report.programs = programs;
    report.missing.splice(0..0, missing);
    show(&report, arguments.json, table::print)?;
    Ok(
        if report.cut_short && exit_code(&report.missing) == ExitCode::SUCCESS {
            ExitCode::from(3)
        } else {
            exit_code(&report.missing)
        },
    )
}

/// Ours, and those of the others that are here.
fn generators(arguments: &Arguments, missing: &mut Vec<Missing>) -> anyhow::Result<Vec<Generator>> {
    let Arguments {
        only,
        quick,
        oha,
        locust,
        ..
    } = arguments;
    if let Some(unknown) = only
        .iter()
        .find(|name| Kind::ALL.iter().all(|kind| kind.name() != *name))
    {
        let names = Kind::ALL.map(Kind::name).join(", ");
        bail!("--only {unknown}: there is no such generator; there are {names}");
    }
    let wanted = |kind: &Kind| {
        let is_named = only.is_empty() || only.iter().any(|name| name == kind.name());
        match kind {
            Kind::Ours => true,
            Kind::Wrk => is_named,
            _ => is_named && !quick,
        }
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
            None => missing.push(Missing::here(kind.name(), "is not installed")),
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
        missing.push(Missing::here(
            &Placement::Two.to_string(),
            "this machine has one",
        ));
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
        seed: arguments.seed.drawn(),
    })
}

/// Whether fidelity is wanted and can be had.
fn has_fidelity(arguments: &Arguments, missing: &mut Vec<Missing>) -> bool {
    let is_root = rustix::process::geteuid().is_root();
    if !arguments.no_fidelity && !is_root {
        missing.push(Missing::here("fidelity", "probes need root"));
    }
    !arguments.no_fidelity && is_root
}

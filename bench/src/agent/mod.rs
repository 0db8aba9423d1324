//! What the agent takes while many hooked processes read: its CPU time, its memory, how long a scrape takes, and
//! whether all reads are in its histograms.
//!
//! [`cgroups`] makes control groups that are named like containers, [`servers`] starts the processes in them, [`load`]
//! has them read at a rate, [`observed`] is the agent as the bench sees it, [`result`] what came out.

mod cgroups;
mod load;
mod observed;
mod result;
mod servers;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use clap::Args;

use crate::agent::load::Load;
use crate::agent::observed::Agent;
use crate::agent::result::{Measured, Scrapes, Use};
use crate::agent::servers::Servers;
use crate::machine::{built_beside_us, cpu_name, kernel};
use crate::result::show;

/// The command that builds what it takes.
const TASK: &str = "cargo xtask bench-agent";

/// Options of `bench agent`.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  sudo bench agent
  sudo bench agent --processes 20 --arms 4 --reads-per-second 2000 --seconds 5
  sudo bench agent --json > agent.json

`cargo xtask bench-agent` builds what it takes, and runs it as root. Exit code 1 if a target is missed.")]
pub struct Arguments {
    /// Hooked servers
    #[arg(long, default_value_t = 200, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000))]
    processes: u32,

    /// Arms, each in a container of its own; processes are dealt out to them
    #[arg(long, default_value_t = 20, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=256))]
    arms: u32,

    /// Reads in a second over all servers, as far as the machine keeps up
    #[arg(long, default_value_t = 50_000, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    reads_per_second: u32,

    /// How long to measure
    #[arg(long, default_value_t = 20, value_name = "N", value_parser = clap::value_parser!(u32).range(2..=3_600))]
    seconds: u32,

    /// Seconds between scrapes
    #[arg(long, default_value_t = 1.0, value_name = "N")]
    scrape_interval: f64,

    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

/// Measures, and shows what was found.
pub fn measure(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let scrape_every = arguments.scrape_interval;
    ensure!(
        (0.1..=60.0).contains(&scrape_every),
        "--scrape-interval {scrape_every}: must be a number of seconds from 0.1 to 60"
    );
    let programs = ["sut", "readhook.so", "probe-user"].map(|name| built_beside_us(name, TASK));
    let [sut, hook, probe_user] = programs;
    let servers = Servers::start(&sut?, &hook?, arguments.processes, arguments.arms)?;
    let agent = Agent::start(&probe_user?, arguments.arms)?;
    agent.wait_until_it_observes(arguments.processes)?;

    let load = Load::begin(servers.listening(), arguments.reads_per_second)?;
    let before = agent.own_use()?;
    let mut scrapes = Vec::new();
    for _ in 0..times(arguments.seconds, scrape_every) {
        std::thread::sleep(Duration::from_secs_f64(scrape_every));
        scrapes.push(agent.scrape()?);
    }
    let after = agent.own_use()?;
    let loaded = load.end()?;
    // Its connections are still open: each request is one read, and there is no other.
    let arms = agent.arms()?;
    drop(loaded.connections);
    let measured = Measured {
        kernel: kernel(),
        cpu: cpu_name(),
        cpus: std::thread::available_parallelism()
            .context("how many CPUs")?
            .get(),
        processes: arguments.processes,
        arms: arguments.arms,
        asked_reads_per_s: arguments.reads_per_second,
        seconds: loaded.seconds,
        reads_per_s: loaded.requests as f64 / loaded.seconds,
        reads: loaded.requests,
        reads_in_histograms: arms.hooked_reads,
        ledgers_balance: arms.ledgers_balance,
        arms_answer_bytes: arms.bytes,
        agent: Use {
            cpu_share: after.cpu_share_since(&before),
            resident_bytes: after.resident_bytes,
            histogram_bytes: arms.histogram_bytes,
        },
        scrape: Scrapes::of(&scrapes).context("no scrape")?,
        targets: Vec::new(),
    }
    .judged();
    show(&measured, arguments.json, Measured::print)?;
    Ok(ExitCode::from(u8::from(!measured.all_reached())))
}

/// How many scrapes there are.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "at most an hour in tenths of a second"
)]
fn times(seconds: u32, every_s: f64) -> u32 {
    (f64::from(seconds) / every_s).ceil() as u32
}

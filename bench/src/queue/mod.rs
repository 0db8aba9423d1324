//! What a delay in the server costs the mean response time of an open loop, as a queue with measured service times has it.

mod fifo;
mod service;

use std::path::PathBuf;

use abi::trial::Trial;
use abi::trial::slices::Slices;
use anyhow::{Context as _, ensure};
use clap::Args;
use runlog::RunDirectory;
use runlog::manifest::Manifest;
use runlog::table::read_all;
use serde::Serialize;

use crate::queue::fifo::mean_responses_ns;
use crate::queue::service::{Service, times};

/// So many requests are simulated.
const ARRIVALS: u32 = 20_000_000;
const SEED: u64 = 1;
/// What took longer than so many medians was interrupted by somebody else. It counts as long as that: a trimmed mean over rounds
/// leaves out the rounds in which it happens.
const LONGEST: f64 = 10.0;

/// Options of `bench queue`.
#[derive(Args, Debug)]
pub struct Arguments {
    /// Folder of a run by slices, with one server
    run: PathBuf,

    /// Requests per second of the queue, which has the service times of the run
    #[arg(long, value_name = "R")]
    rate: Option<f64>,
}

/// The service times of a run, and a queue that has them.
#[derive(Serialize)]
struct Queue {
    /// Requests per second that the server completes without a pause, in the arm `on`.
    capacity: f64,
    /// The arm with the delay.
    arm: String,
    /// How long that lasts.
    delay_ns: f64,
    /// Mean service times of `on` and of that arm.
    service_ns: [f64; 2],
    /// How many service times were measured.
    measured: [usize; 2],
    /// Simulated mean response times, with the service times of `on` and with these and the delay.
    response_ns: Option<[f64; 2]>,
    /// Their difference for one ns of the delay.
    slope: Option<f64>,
}

/// Prints what comes out, as JSON.
pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let run = RunDirectory::existing(&arguments.run);
    let manifest: Manifest = runlog::json::read(&run.manifest())?;
    ensure!(
        manifest.schedule.servers_per_arm == 1,
        "the run has more than one server"
    );
    let text = manifest.schedule.trial.context("the run is no trial")?;
    let trial = Trial::parse(text.as_bytes())
        .map_err(|problem| anyhow::anyhow!("the trial of the run: {problem}"))?;
    let slices = Slices::of(&trial).context("the run is not by slices")?;
    let services = times(
        &read_all(run.requests())?,
        &read_all(run.bracketed_calls())?,
        &slices,
        trial.arms(),
    );
    let delayed = trial.arms().iter().rfind(|arm| arm.delay_ns() > 0);
    let arm = delayed
        .context("the run has no arm with a delay")?
        .to_string();
    let [on, late] = ["on", &arm].map(|name| services.get(name));
    let [on, late] = [on, late].map(|of| of.context("an arm has no service times"));
    let queue = queue(on?, late?, arm, arguments.rate)?;
    println!("{}", serde_json::to_string_pretty(&queue)?);
    Ok(())
}

fn queue(on: &Service, late: &Service, arm: String, rate: Option<f64>) -> anyhow::Result<Queue> {
    let limit_ns = LONGEST * stats::moments::quantile(&late.times_ns, 0.5).context("no times")?;
    let clipped = |of: &Service| -> Vec<f64> {
        let mut times_ns: Vec<f64> = of.times_ns.iter().map(|ns| ns.min(limit_ns)).collect();
        times_ns.sort_unstable_by(f64::total_cmp);
        times_ns
    };
    let times_ns = [on, late].map(clipped);
    let mean = |values: &[f64]| stats::mean(values).context("no service times");
    let service_ns = [mean(&times_ns[0])?, mean(&times_ns[1])?];
    let waited_ns: Vec<f64> = late.delays_ns.iter().map(|ns| ns.min(limit_ns)).collect();
    let delay_ns = mean(&waited_ns)?;
    // The times of both arms differ by more than the delay, by chance: only the delay is to make the difference.
    let late_ns: Vec<f64> = times_ns[0].iter().map(|ns| ns + delay_ns).collect();
    let response_ns = rate
        .map(|rate| {
            mean_responses_ns([&times_ns[0], &late_ns], rate, ARRIVALS, SEED)
                .context("no service times")
        })
        .transpose()?;
    Ok(Queue {
        capacity: 1e9 / service_ns[0],
        arm,
        delay_ns,
        service_ns,
        measured: times_ns.map(|of| of.len()),
        response_ns,
        slope: response_ns.map(|[on_ns, late_ns]| (late_ns - on_ns) / delay_ns),
    })
}

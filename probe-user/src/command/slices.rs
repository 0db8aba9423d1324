//! Options of a trial whose arms go by slices of time, and how long its slices are.

use std::fs;
use std::str::FromStr;
use std::time::Duration;

use abi::trial::Trial;
use abi::trial::slices::{LENGTHS_NS, Slices};
use anyhow::{Context as _, bail};
use clap::Args;
use indicatif::ProgressBar;
use runlog::RunDirectory;
use runlog::record::Request;
use runlog::table;
use stats::moments::quantile;
use verdict::doubt::SLICE_P99;

use crate::run::experiment::Experiment;
use crate::run::identity::give_to_caller;
use crate::run::loadgen::Pace;
use crate::run::stop::Stop;

/// Slices where nobody knows beforehand how long requests take, and the shortest that are chosen.
const USUAL: Duration = Duration::from_millis(20);
const LEAST: Duration = Duration::from_millis(10);
/// With "auto" slices are no longer than that all arms have so many of each length: an interval of fewer rounds says nothing.
const LEAST_TURNS: u32 = 4;
/// How long requests are sent to find out how long they take.
const PILOT: Duration = Duration::from_millis(600);

/// Options of a trial whose arms go by slices of time.
#[derive(Args, Debug, Default)]
pub struct SliceOptions {
    /// Give all requests of a while one arm: what it costs under load
    ///
    /// The time per completed request is compared. A length as in 20ms, of the shorter slices, or "auto": 30 times the 99th percentile of response times.
    #[arg(long, value_name = "LENGTH", conflicts_with = "requests")]
    pub slice: Option<SliceLength>,

    /// Have this command send the requests instead of our load generator, as in 'wrk -c 8 -d 30 {url}'
    ///
    /// A shell runs it; {url} and {port} become those of the server. When it ends, the run does. What it prints is in load-output.txt.
    /// Requests are then told by the server: from their first read to the write that answers them.
    #[arg(long, hide_short_help = true, value_name = "COMMAND", requires = "slice", conflicts_with_all = ["duration", "rate"])]
    pub load: Option<String>,

    /// Seconds of load of all arms together [default: 10]
    #[arg(long, hide_short_help = true, value_name = "SECONDS", value_parser = seconds, requires = "slice")]
    pub duration: Option<Duration>,

    /// Open loop: send this many requests per second, as many users do, whatever the server does
    #[arg(long, hide_short_help = true, value_name = "R", value_parser = rate, requires = "slice")]
    pub rate: Option<f64>,
}

/// Length of the shorter slices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SliceLength {
    /// As response times want it.
    Auto,
    /// This long.
    Of(Duration),
}

impl FromStr for SliceLength {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "auto" {
            return Ok(Self::Auto);
        }
        let length = humantime::parse_duration(text).ok().filter(|length| {
            u64::try_from(length.as_nanos()).is_ok_and(|ns| LENGTHS_NS.contains(&ns))
        });
        length.map(Self::Of).ok_or_else(|| {
            let [least, most] = [LENGTHS_NS.start(), LENGTHS_NS.end()]
                .map(|ns| humantime::format_duration(Duration::from_nanos(*ns)).to_string());
            format!("expected auto, or a length from {least} to {most}, as in 20ms")
        })
    }
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = text
        .parse()
        .ok()
        .filter(|seconds| (0.1..=86_400.0).contains(seconds));
    let seconds = seconds.ok_or("expected a number of seconds from 0.1 to 86400")?;
    Ok(Duration::from_secs_f64(seconds))
}

fn rate(text: &str) -> Result<f64, String> {
    let rate = text
        .parse()
        .ok()
        .filter(|rate| (1.0..=10_000_000.0).contains(rate));
    rate.ok_or_else(|| "expected a number of requests per second, from 1 to 10000000".to_owned())
}

impl SliceOptions {
    /// How requests are sent.
    pub fn pace(&self) -> Pace {
        Pace {
            duration: Some(self.duration.unwrap_or(Duration::from_secs(10))),
            rate_per_second: self.rate,
        }
    }

    /// Slices to begin with, if there are any.
    pub fn first_length(&self) -> Option<Duration> {
        Some(match self.slice? {
            SliceLength::Of(length) => length,
            SliceLength::Auto if self.load.is_some() => USUAL,
            SliceLength::Auto => LEAST,
        })
    }

    /// Whether it is to be found out how long requests take.
    pub fn wants_pilot(&self) -> bool {
        self.slice == Some(SliceLength::Auto) && self.load.is_none()
    }

    /// Slices as long as response times want them, or as long as they can be where such do not fit into the load: with many
    /// connections one stolen moment makes the few requests of the pilot slow. Whether slices are too short for the run's own
    /// response times, its analysis says.
    pub fn fitting(&self, wanted: Duration, trial: &Trial, blocks: u32) -> Duration {
        let turns = LEAST_TURNS.max(2 * blocks);
        let lengths_of_a_turn = Slices::UNITS_OF_AN_ARM as usize * trial.arms().len();
        let lengths = lengths_of_a_turn as f64 * f64::from(turns);
        let load = self.pace().duration;
        let longest = load.map_or(wanted, |load| load.div_f64(lengths));
        let whole_ms = Duration::from_millis(longest.as_millis().try_into().unwrap_or(u64::MAX));
        wanted.min(whole_ms.max(LEAST))
    }

    /// The trial by slices of this length.
    pub fn cut(&self, trial: &Trial, length: Duration) -> anyhow::Result<Trial> {
        let trial = trial.by_slices(u64::try_from(length.as_nanos())?);
        Ok(match self.load {
            Some(_) => trial.of_any_size(),
            None => trial,
        })
    }
}

/// Runs a short part of an experiment, and says how long slices must be: by the 99th percentile of what requests took in its second
/// half.
pub async fn length_by_pilot(
    mut experiment: Experiment,
    run: &RunDirectory,
    stop: &mut Stop,
    bar: &ProgressBar,
) -> anyhow::Result<Duration> {
    experiment.load.schedule.servers_per_arm = 1;
    experiment.load.schedule.blocks_per_cell = 1;
    experiment.load.pace.duration = Some(PILOT);
    experiment.load.observe = false;
    experiment.probes = None;
    let folder = run.root().join("pilot");
    let run = RunDirectory::create(&folder)?;
    // The load generator runs as the caller.
    give_to_caller(&folder)?;
    let length = measure(experiment, &run, stop, bar).await;
    fs::remove_dir_all(&folder).with_context(|| format!("cannot remove {}", folder.display()))?;
    length
}

async fn measure(
    experiment: Experiment,
    run: &RunDirectory,
    stop: &mut Stop,
    bar: &ProgressBar,
) -> anyhow::Result<Duration> {
    let outcome = experiment.run(run, stop, bar).await?;
    if let Some(reason) = outcome.cut_short {
        bail!("{reason} before the first request that counts");
    }
    let requests: Vec<Request> = table::read_all(run.requests())?;
    let later = requests.iter().skip(requests.len() / 2);
    let took_ns: Vec<f64> = later
        .filter(|request| request.is_ok())
        .map(|request| request.latency_ns() as f64)
        .collect();
    let p99_ns = quantile(&took_ns, 0.99).context("no request was answered")?;
    let least = Duration::from_secs_f64(SLICE_P99 * p99_ns / 1e9).max(LEAST);
    Ok(Duration::from_millis(u64::try_from(least.as_millis())? + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_that_are_chosen_fit_into_the_load() {
        let text = "seed=1 size=256 run=1 arms=off,null,on,on+1000";
        let trial = Trial::parse(text.as_bytes()).unwrap();
        let fitting = |wanted_ms, load_ms, blocks| {
            let options = SliceOptions {
                duration: Some(Duration::from_millis(load_ms)),
                ..SliceOptions::default()
            };
            options.fitting(Duration::from_millis(wanted_ms), &trial, blocks)
        };
        assert_eq!(fitting(20, 4_800, 1), Duration::from_millis(20));
        // Four arms, three lengths a turn, four turns; two for each of eight blocks.
        assert_eq!(fitting(500, 4_800, 1), Duration::from_millis(100));
        assert_eq!(fitting(500, 4_900, 8), Duration::from_millis(25));
        assert_eq!(fitting(500, 100, 1), LEAST);
    }

    #[test]
    fn lengths_are_read_exactly() {
        assert_eq!("auto".parse(), Ok(SliceLength::Auto));
        let length = Duration::from_millis(20);
        assert_eq!("20ms".parse(), Ok(SliceLength::Of(length)));
        for text in ["", "20", "0ms", "999us", "2m", "ten", "AUTO"] {
            let error = text.parse::<SliceLength>().unwrap_err();
            assert!(error.contains("1ms to 1m"), "{text}: {error}");
        }
        assert!(seconds("0.05").is_err() && seconds("x").is_err() && seconds("NaN").is_err());
        assert!(rate("0").is_err() && rate("inf").is_err());
        assert_eq!(rate("2500"), Ok(2_500.0));
    }
}

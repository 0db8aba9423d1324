//! `probe-user validate truth`: does the measuring chain find delays that it did not make?
//!
//! A trial has an arm for each delay: the library in front of the hook waits, and measures how long. So the hook need know
//! nothing of it. Which arm waits how long is drawn at random. What is seen of each is estimated under a name that says nothing and
//! written down; then the key is looked at.

use abi::trial::Trial;
use anyhow::{Context as _, bail};
use clap::Args;
use rand::SeedableRng as _;
use rand::seq::{IndexedRandom as _, SliceRandom as _};
use rand_chacha::ChaCha8Rng;
use runlog::table::TableWriter;
use runlog::truth::{COVERAGE_SCHEMA, Coverage, CoverageRun};
use runlog::{Order, json};
use stats::binomial;

use super::repeat::{Repetition, ShortRun, repeat};
use crate::command::End;
use crate::command::options::{ExperimentOptions, NewRun, Probing, progress_bar};
use crate::command::trial::design;
use crate::run::arms::HookSpec;
use crate::run::experiment::Experiment;
use crate::run::stop::Stop;
use crate::show;
use verdict::in_situ::InSituCollector;
use verdict::layers::{Roles, analyze};
use verdict::logs::read_logs;
use verdict::{order, trial, truth};

/// Options of `validate truth`.
#[derive(Args, Debug)]
#[command(mut_arg("requests", |requests| requests.default_value("20000")))]
#[command(after_help = "\
Examples:
  sudo probe-user validate truth             all delays in one trial
  probe-user validate truth --no-probes --hook ./any.so
                                             the same of any hook, without root
  probe-user validate truth --runs 60
                                             60 short trials of one delay each:
                                             is it in the macro interval?
  probe-user validate truth --runs 20 --first-run 20 --seed 1
                                             the second third of such a series")]
pub struct TruthArguments {
    /// Delays to inject, in nanoseconds
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "250,500,1000,2000,5000,10000,20000",
        value_name = "NS,…"
    )]
    delays: Vec<u64>,

    /// Leave the eBPF probes out: needs no privileges
    #[arg(long, conflicts_with_all = ["kernel_probe", "site", "ring_bytes", "program_stats"])]
    no_probes: bool,

    /// Make this many short runs without probes, each of one delay drawn at random
    #[arg(long, value_name = "N")]
    runs: Option<u32>,

    #[command(flatten)]
    repetition: Repetition,

    #[command(flatten)]
    options: ExperimentOptions,
}

/// Makes the run or the runs, writes what came out into a folder, and prints it.
pub async fn truth(mut arguments: TruthArguments) -> anyhow::Result<End> {
    let TruthArguments {
        delays, options, ..
    } = &mut arguments;
    // Shuffled below, the order of the command line tells nothing.
    delays.sort_unstable();
    delays.dedup();
    delays.retain(|delay_ns| *delay_ns > 0);
    if delays.is_empty() {
        bail!("--delays: expected whole numbers of nanoseconds above 0");
    }
    let order = *options.order.get_or_insert(Order::Trial);
    if order != Order::Trial {
        bail!(
            "--order {order}: validate truth draws delays request by request; it knows the order trial alone"
        );
    }
    let seed = options.seed();
    let hook = options.hook()?;
    if let Some(runs) = arguments.runs {
        return coverage(&arguments, &hook, runs, seed).await;
    }
    if arguments.repetition.first_run > 0 {
        bail!("--first-run: only a series (--runs) has a first run");
    }
    let probing = if arguments.no_probes {
        Probing::No
    } else {
        Probing::IfPossible
    };
    let trial = shuffled(seed, &arguments.options.path, &arguments.delays)?;
    let experiment = arguments.options.trial(&trial, &hook, probing)?;
    let run = arguments.options.open_folder("truth")?;
    let end = run_in(&arguments, experiment, &run).await;
    if end.is_err() {
        run.discard_if_empty();
    }
    end
}

/// A trial whose numbers of arms do not tell the delays.
fn shuffled(seed: u64, path: &str, delays: &[u64]) -> anyhow::Result<Trial> {
    let mut delays = delays.to_vec();
    delays.shuffle(&mut ChaCha8Rng::seed_from_u64(seed));
    design(seed, path, None, &delays)
}

async fn run_in(
    arguments: &TruthArguments,
    experiment: Experiment,
    run: &NewRun,
) -> anyhow::Result<End> {
    let directory = &run.directory;
    let trim = arguments.options.trim();
    let mut stop = Stop::listen()?;
    let bar = progress_bar();
    let outcome = experiment.run(directory, &mut stop, &bar).await?;
    bar.set_message("joining and comparing");
    let joined = Some(TableWriter::create(directory.joined())?);
    let logged = read_logs(directory, &outcome.manifest, trim, joined)
        .context("cannot read the run back")?;
    let found = logged.trial.as_ref().context("this run is no trial")?;
    let order = order::Order::of(&outcome.manifest.schedule);
    json::write(&directory.truth_blind(), &found.blind(&logged.calls, order))?;
    let key = found.delays();
    let roles = Roles::of(&outcome.manifest.arms)?;
    let micro = Err("validate truth does not measure it".to_owned());
    let analysis = analyze(logged, roles, outcome, micro, trim);
    json::write(&directory.analysis(), &analysis)?;
    let truth = truth::judge(json::read(&directory.truth_blind())?, &key, analysis);
    json::write(&directory.truth(), &truth)?;
    bar.finish_and_clear();
    arguments
        .options
        .output
        .print(&truth, |it| show::truth::print(it, directory))?;
    Ok(End::of(truth.cut_short.is_some(), truth.holds))
}

/// Short runs of one delay each.
async fn coverage(
    arguments: &TruthArguments,
    hook: &HookSpec,
    runs: u32,
    seed: u64,
) -> anyhow::Result<End> {
    let TruthArguments {
        delays,
        repetition,
        options,
        ..
    } = arguments;
    let folder = options.open_folder("coverage")?;
    let experiment = |_, seed: u64| {
        let mut random = ChaCha8Rng::seed_from_u64(!seed);
        let delay_ns = delays.choose(&mut random).copied().unwrap_or(1);
        let trial = design(seed, &options.path, None, &[delay_ns])?;
        options.trial(&trial, hook, Probing::No)
    };
    let bar = progress_bar();
    let mut done = Vec::new();
    let take = |run: ShortRun<'_>| {
        let schedule = &run.manifest.schedule;
        let found = trial::read(run.directory, schedule)?;
        let without_probes = InSituCollector::new(f64::INFINITY, 0.0);
        let blind = found.blind(&without_probes, order::Order::of(schedule));
        let arm = blind.arms.into_iter().next();
        let estimate = arm
            .and_then(|arm| arm.macro_)
            .with_context(|| format!("run {}: fewer than two blocks", run.number))?;
        let delays = found.delays();
        let delay = delays.first().context("no delay")?;
        let lasted_ns = delay.in_macro_ns.unwrap_or(delay.asked_ns as f64);
        done.push(CoverageRun {
            run: run.number,
            seed: run.seed,
            asked_ns: delay.asked_ns,
            lasted_ns,
            covers: estimate.reaches(lasted_ns, 0.0),
            macro_: estimate,
        });
        Ok(())
    };
    let (manifest, cut_short) = repeat(*repetition, runs, seed, &bar, experiment, take)
        .await
        .inspect_err(|_| folder.discard())?;
    bar.finish_and_clear();
    let made = u32::try_from(done.len()).unwrap_or(u32::MAX);
    let missed = done.iter().filter(|run| !run.covers).count();
    let missed = u32::try_from(missed).unwrap_or(u32::MAX);
    let allowed = binomial::quantile(made, 0.05, 0.975);
    let report = Coverage {
        schema: COVERAGE_SCHEMA.to_owned(),
        holds: cut_short.is_none() && missed <= allowed,
        cut_short,
        runs: done,
        missed,
        allowed,
        environment: manifest.environment,
        placement: manifest.placement,
    };
    json::write(&folder.directory.coverage(), &report)?;
    options.output.print(&report, |it| {
        show::truth::print_coverage(it, &folder.directory);
    })?;
    Ok(End::of(report.cut_short.is_some(), report.holds))
}

#[cfg(test)]
mod tests;

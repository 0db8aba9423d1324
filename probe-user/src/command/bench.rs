//! `probe-user bench`: the hook at three layers, in one run.

use std::time::Duration;

use clap::Args;
use indicatif::ProgressBar;
use runlog::analysis::Analysis;
use runlog::table::TableWriter;
use runlog::{Order, Role, RunDirectory, json};

use crate::command::End;
use crate::command::ladder::{Ladder, Recorded, Rungs};
use crate::command::options::{ExperimentOptions, NewRun, Probing, progress_bar};
use crate::command::report::write_page_of;
use crate::command::slices::length_by_pilot;
use crate::command::trial::TrialOptions;
use crate::doctor;
use crate::run::arms::{ArmSpec, HookSpec};
use crate::run::experiment::Experiment;
use crate::run::hook_file::{self, MeasuredBy};
use crate::run::micro::{self, Plan, Rung};
use crate::run::stop::Stop;
use crate::show;
use verdict::layers::{Roles, analyze};
use verdict::logs::read_logs;
use verdict::micro_blocks::{Measured, Temperature};

/// The most blocks of the micro layer. Its interval is narrow long before, and a block with cold calls
/// takes milliseconds.
const MAX_MICRO_BLOCKS: u32 = 100;
/// The most blocks of each rung of the ladder.
const MAX_LADDER_BLOCKS: u32 = 25;

/// Options of `bench`.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  sudo probe-user bench --requests 100000
  sudo probe-user bench --hook ./other.so --hook-env NAME=VALUE
  sudo probe-user bench -- java Server.java {port}
  probe-user bench --no-probes --hook ./any.so    all three layers, without root
  probe-user bench --no-probes --slice auto --connections 32    what it costs under load
  sudo probe-user bench --order rmit              whole servers with and without it")]
pub struct BenchArguments {
    #[command(flatten)]
    options: ExperimentOptions,

    #[command(flatten)]
    trial: TrialOptions,

    /// Leave the eBPF probes out: needs no privileges
    ///
    /// A trial has an in-situ layer without them, other orders have none.
    #[arg(long, conflicts_with_all = ["kernel_probe", "site", "ring_bytes", "program_stats"])]
    no_probes: bool,

    /// Calls of each read in a block of the micro layer
    #[arg(long, hide_short_help = true, default_value_t = 2_000, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    micro_calls: u32,

    /// Calls of each read in a cold block of the micro layer; 0 leaves the cold figure out
    #[arg(long, hide_short_help = true, default_value_t = 20, value_name = "N")]
    micro_cold_calls: u32,

    /// Measure the hook rung by rung too, after the load, for the report (15 seconds more)
    #[arg(long, overrides_with = "ladder")]
    ladder: bool,
}

/// Runs it.
pub async fn bench(mut arguments: BenchArguments) -> anyhow::Result<End> {
    arguments.options.order.get_or_insert(Order::Trial);
    let hook = arguments.options.hook()?;
    let slice = arguments.trial.slices.first_length();
    let experiment = assemble(&arguments, &hook, slice)?;
    let run = arguments.options.open_folder("bench")?;
    let end = run_in(&arguments, &hook, experiment, &run).await;
    if end.is_err() {
        run.discard_if_empty();
    }
    end
}

/// Puts the experiment together; in a trial by slices of time, with slices of this length.
fn assemble(
    arguments: &BenchArguments,
    hook: &HookSpec,
    slice: Option<Duration>,
) -> anyhow::Result<Experiment> {
    let BenchArguments { options, trial, .. } = arguments;
    let slices = &trial.slices;
    let probing = if arguments.no_probes || slices.load.is_some() {
        Probing::No
    } else {
        Probing::IfPossible
    };
    if options.order() != Order::Trial {
        trial.refuse(options.order())?;
        let arms = vec![
            ArmSpec::of(Role::Baseline, None),
            ArmSpec::of(Role::Baseline2, None),
            ArmSpec::of(Role::Hooked, Some(hook.clone())),
        ];
        return options.experiment(arms, probing);
    }
    let design = trial.design(options.seed(), &options.path)?;
    let Some(length) = slice else {
        return options.trial(&design, hook, probing);
    };
    let cut = slices.cut(&design, length)?;
    if let Some(command) = &slices.load {
        let mut experiment = options.watched_load(&cut, hook)?;
        experiment.load.foreign = Some(command.clone());
        return Ok(experiment);
    }
    options.slices(&cut, hook, slices.pace(), probing)
}

async fn run_in(
    arguments: &BenchArguments,
    hook: &HookSpec,
    experiment: Experiment,
    run: &NewRun,
) -> anyhow::Result<End> {
    let directory = &run.directory;
    let trim = arguments.options.trim();
    let mut stop = Stop::listen()?;
    let bar = progress_bar();
    let experiment = if arguments.trial.slices.wants_pilot() {
        bar.set_message("how long requests take");
        let wanted = Box::pin(length_by_pilot(experiment, directory, &mut stop, &bar)).await?;
        let BenchArguments { options, trial, .. } = arguments;
        let design = trial.design(options.seed(), &options.path)?;
        let blocks = options.blocks.or(options.servers).unwrap_or(1);
        let length = trial.slices.fitting(wanted, &design, blocks);
        assemble(arguments, hook, Some(length))?
    } else {
        experiment
    };
    bar.set_message("micro layer");
    let micro = tokio::select! {
        micro = measure_micro(arguments, hook, &experiment, run, &bar) => {
            micro.map_err(|error| format!("{error:#}"))
        }
        reason = stop.requested() => anyhow::bail!("{reason} before the first request"),
    };
    let ladder = arguments
        .ladder
        .then(|| ladder(arguments, hook, &experiment));
    let outcome = experiment.run(directory, &mut stop, &bar).await?;
    bar.set_message("joining and comparing");
    let table = TableWriter::create(directory.joined())?;
    let logged = read_logs(directory, &outcome.manifest, trim, Some(table))?;
    let manifest = outcome.manifest.clone();
    let roles = Roles::of(&manifest.arms)?;
    let mut seen = doctor::Run {
        analysis: analyze(logged, roles, outcome, micro, trim),
        manifest,
    };
    seen.analysis.recommendations = doctor::recommendations(std::slice::from_ref(&seen), &[]);
    let doctor::Run { manifest, analysis } = seen;
    json::write(&directory.analysis(), &analysis)?;
    if let Some(ladder) = ladder
        && analysis.cut_short.is_none()
    {
        bar.set_message("rung by rung");
        let climbed = tokio::select! {
            climbed = climb(&ladder, &analysis, directory, &bar) => climbed,
            reason = stop.requested() => Err(anyhow::anyhow!("{reason}")),
        };
        // The result stands without it.
        if let Err(error) = climbed {
            eprintln!("probe-user: no ladder: {error:#}");
        }
    }
    bar.set_message("drawing the report");
    let reported = write_page_of(directory, &manifest, &analysis);
    bar.finish_and_clear();
    // The result stands without its report.
    if let Err(error) = reported {
        eprintln!("probe-user: no report: {error:#}");
    }
    arguments
        .options
        .output
        .print(&analysis, |it| show::bench::print(it, &manifest, directory))?;
    Ok(End::of(analysis.cut_short.is_some(), analysis.is_usable()))
}

/// What `--ladder` measures: the blocks of `micro` would take twice as long as the rest of a short run.
fn ladder(arguments: &BenchArguments, hook: &HookSpec, experiment: &Experiment) -> Ladder {
    Ladder {
        hook: hook.clone(),
        rungs: Rungs::AllOrAsSet,
        blocks: arguments.options.blocks().clamp(2, MAX_LADDER_BLOCKS),
        hot_calls: arguments.micro_calls,
        cold_calls: arguments.micro_cold_calls,
        path: arguments.options.path.clone(),
        trial: sized_trial(experiment).map(str::to_owned),
        trim: arguments.options.trim(),
        seed: experiment.load.schedule.seed,
        placement: experiment.placement_of_one(),
    }
}

/// Measures the rungs, and keeps them with the run.
async fn climb(
    ladder: &Ladder,
    analysis: &Analysis,
    directory: &RunDirectory,
    bar: &ProgressBar,
) -> anyhow::Result<()> {
    let in_situ = &analysis.in_situ;
    let recorded = in_situ.hook_overhead.is_some().then(|| Recorded {
        folder: directory.root().to_owned(),
        in_situ: in_situ.clone(),
    });
    let measured = ladder.measure(recorded.as_ref(), bar).await?;
    json::write(&directory.micro(), &measured)?;
    Ok(())
}

/// The trial by which our load generator writes its requests.
fn sized_trial(experiment: &Experiment) -> Option<&str> {
    let is_ours = experiment.load.foreign.is_none();
    experiment
        .load
        .schedule
        .trial
        .as_deref()
        .filter(|_| is_ours)
}

async fn measure_micro(
    arguments: &BenchArguments,
    hook: &HookSpec,
    experiment: &Experiment,
    run: &NewRun,
    bar: &ProgressBar,
) -> anyhow::Result<Measured> {
    hook_file::check(&hook.path, MeasuredBy::Reads)?;
    let mut temperatures = vec![(Temperature::Hot, arguments.micro_calls)];
    if arguments.micro_cold_calls > 0 {
        temperatures.push((Temperature::Cold, arguments.micro_cold_calls));
    }
    let plan = Plan {
        rungs: vec![Rung {
            name: Role::Hooked.name().to_owned(),
            hook: hook.clone(),
        }],
        temperatures,
        blocks: arguments.options.blocks().min(MAX_MICRO_BLOCKS),
        message: micro::request_bytes(
            &experiment.load.program,
            &arguments.options.path,
            sized_trial(experiment),
        )
        .await?,
        trim: arguments.options.trim(),
        seed: experiment.load.schedule.seed,
        placement: experiment.placement_of_one(),
        log: run.directory.root().join("micro"),
    };
    micro::measure(&plan, bar).await
}

//! `probe-user micro`: what a hook adds to one `read` in isolation, rung by rung, hot and cold.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::Args;
use runlog::analysis::Analysis;
use runlog::manifest::Manifest;
use runlog::micro::{AgainstRun, MicroReport, Rung as RungCost, SCHEMA};
use runlog::{RunDirectory, json};
use stats::Trim;

use crate::analysis::micro::{cost, eviction, predict};
use crate::command::End;
use crate::command::options::{hook_spec, progress_bar};
use crate::machine::{self, Policy};
use crate::run::arms::{self, HookSpec};
use crate::run::identity::give_to_caller;
use crate::run::micro::words::Temperature;
use crate::run::micro::{Measured, Plan, Rung, measure, request_bytes};
use crate::run::programs;
use crate::run::stop::Stop;
use crate::show;

/// The rungs of our hook, in the order in which each does more.
const RUNGS: [&str; 5] = ["off", "passthrough", "lookup", "scan", "log"];
/// The setting that names a rung.
const MODE: &str = "READHOOK_MODE";
/// The setting that names the file of the rung `log`.
const LOG: &str = "READHOOK_LOG";
/// The name of the only rung of a hook that is measured as it is.
const AS_SET: &str = "as-set";

/// Options of `micro`.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  probe-user micro                             all rungs: half a minute
  probe-user micro --rungs scan,log --json
  probe-user micro --run runs/bench-TIME       beside what that run saw in situ
  probe-user micro --hook ./other.so --as-set  a hook that has no rungs")]
pub struct MicroArguments {
    /// Blocks of each rung, hot and cold
    #[arg(long, default_value_t = 50, value_name = "B", value_parser = clap::value_parser!(u32).range(2..))]
    blocks: u32,

    /// Calls of each read in a hot block
    #[arg(long, default_value_t = 1_000, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    calls: u32,

    /// Calls of each read in a cold block; 0 measures hot ones only
    #[arg(long, default_value_t = 20, value_name = "N")]
    cold_calls: u32,

    /// Rungs to measure
    #[arg(long, value_delimiter = ',', value_name = "RUNG,…", value_parser = RUNGS, default_values = RUNGS)]
    rungs: Vec<String>,

    /// Measure the hook as it is set, as one rung: for hooks that do not know `READHOOK_MODE`
    #[arg(long, conflicts_with = "rungs")]
    as_set: bool,

    /// Set the figures beside the in-situ layer of a recorded bench; its hook and settings are taken
    #[arg(long, value_name = "DIR", conflicts_with_all = ["hook", "hook_env"])]
    run: Option<PathBuf>,

    /// The hook to measure [default: readhook.so beside this program]
    #[arg(long, value_name = "LIBRARY")]
    hook: Option<PathBuf>,

    /// A setting of the hook, as in `READHOOK_KEYWORDS=words.txt`; repeat for more
    #[arg(long, value_name = "NAME=VALUE")]
    hook_env: Vec<String>,

    /// What the request that is read asks for
    #[arg(long, default_value = "/", value_name = "PATH")]
    path: String,

    /// Share of a block's sorted calls left out at each end
    #[arg(long, default_value_t = 0.05, value_name = "SHARE")]
    trim: f64,

    /// Seed of the random order; drawn when not given
    #[arg(long, value_name = "S")]
    seed: Option<u64>,

    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

/// The in-situ layer to compare with.
struct Recorded {
    folder: PathBuf,
    hook: HookSpec,
    analysis: Analysis,
}

/// Runs it.
pub async fn micro(arguments: MicroArguments) -> anyhow::Result<End> {
    Trim::each_end(arguments.trim).with_context(|| {
        format!(
            "--trim {}: must be at least 0 and below 0.5",
            arguments.trim
        )
    })?;
    if !arguments.path.starts_with('/') {
        bail!("--path {}: must start with /", arguments.path);
    }
    let recorded = arguments.run.as_deref().map(recorded).transpose()?;
    let hook = match &recorded {
        Some(recorded) => recorded.hook.clone(),
        None => hook_spec(arguments.hook.as_deref(), &arguments.hook_env)?,
    };
    arms::check_hook_file(&hook.path)?;
    // The hook's log, and what the processes have to say.
    let scratch = tempfile::tempdir().context("no temporary folder")?;
    give_to_caller(scratch.path())?;
    let rungs = rungs(&arguments, &hook, scratch.path())?;
    let mut stop = Stop::listen()?;
    let bar = progress_bar();
    bar.set_message("micro layer");
    let mut temperatures = vec![(Temperature::Hot, arguments.calls)];
    if arguments.cold_calls > 0 {
        temperatures.push((Temperature::Cold, arguments.cold_calls));
        if cfg!(target_arch = "x86_64") {
            temperatures.push((Temperature::Flushed, arguments.cold_calls));
        }
    }
    let plan = Plan {
        temperatures,
        blocks: arguments.blocks,
        message: request_bytes(&programs::loadgen()?, &arguments.path).await?,
        trim: arguments.trim,
        seed: arguments.seed.unwrap_or_else(machine::unix_ns),
        placement: machine::place(Policy::OneCore, 1)?,
        log: scratch.path().join("micro"),
        rungs,
    };
    let measured = tokio::select! {
        measured = measure(&plan, &bar) => measured?,
        reason = stop.requested() => bail!("{reason}: nothing was measured"),
    };
    bar.finish_and_clear();
    let report = report(&arguments, &plan, &hook, &measured, recorded.as_ref())?;
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        show::micro::print(&report);
    }
    Ok(End::Complete)
}

/// The hook on each rung.
fn rungs(arguments: &MicroArguments, hook: &HookSpec, scratch: &Path) -> anyhow::Result<Vec<Rung>> {
    if arguments.as_set {
        return Ok(vec![Rung {
            name: AS_SET.to_owned(),
            hook: hook.clone(),
        }]);
    }
    let library = fs::read(&hook.path)
        .with_context(|| format!("cannot read the hook {}", hook.path.display()))?;
    let knows_rungs = library
        .windows(MODE.len())
        .any(|window| window == MODE.as_bytes());
    if !knows_rungs {
        bail!(
            "{} does not know {MODE}, so all rungs would be one; --as-set measures it as it is",
            hook.path.display()
        );
    }
    let in_order = RUNGS
        .iter()
        .filter(|rung| arguments.rungs.iter().any(|asked| asked == *rung));
    Ok(in_order
        .map(|name| {
            let mut hook = hook.clone();
            hook.environment
                .retain(|(variable, _)| variable != MODE && variable != LOG);
            hook.environment.push((MODE.to_owned(), (*name).to_owned()));
            if *name == "log" {
                let log = scratch.join("matches.log");
                hook.environment
                    .push((LOG.to_owned(), log.display().to_string()));
            }
            Rung {
                name: (*name).to_owned(),
                hook,
            }
        })
        .collect())
}

/// Reads a run to compare with.
fn recorded(folder: &Path) -> anyhow::Result<Recorded> {
    let run = RunDirectory::existing(folder);
    let not_a_bench = || format!("--run {}: not the folder of a bench", folder.display());
    let manifest: Manifest = json::read(&run.manifest()).with_context(not_a_bench)?;
    let analysis: Analysis = json::read(&run.analysis()).with_context(not_a_bench)?;
    let hooked = manifest.arms.iter().find(|arm| arm.hook.is_some());
    let (arm, path) = hooked
        .and_then(|arm| Some((arm, arm.hook.clone()?)))
        .with_context(|| format!("--run {}: no arm has a hook", folder.display()))?;
    let environment = arm
        .hook_environment
        .iter()
        .filter_map(|setting| setting.split_once('='))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    if analysis.in_situ.hook_overhead.is_none() {
        let reason = analysis
            .in_situ
            .missing
            .as_deref()
            .unwrap_or("no reason given");
        bail!(
            "--run {}: the run has no in-situ layer to compare with: {reason}",
            folder.display()
        );
    }
    Ok(Recorded {
        folder: folder.to_owned(),
        hook: HookSpec {
            path: path.into(),
            environment,
        },
        analysis,
    })
}

fn report(
    arguments: &MicroArguments,
    plan: &Plan,
    hook: &HookSpec,
    measured: &Measured,
    recorded: Option<&Recorded>,
) -> anyhow::Result<MicroReport> {
    let mut rungs = Vec::new();
    for (index, (rung, blocks)) in plan.rungs.iter().zip(&measured.blocks).enumerate() {
        let before = index.checked_sub(1).map(|before| &measured.blocks[before]);
        let at = |temperature| cost(blocks, before, temperature);
        rungs.push(RungCost {
            name: rung.name.clone(),
            hook_environment: rung
                .hook
                .environment
                .iter()
                .map(|(name, value)| format!("{name}={value}"))
                .collect(),
            hot: at(Temperature::Hot).context("fewer than two blocks")?,
            cold: at(Temperature::Cold),
            flushed: at(Temperature::Flushed),
        });
    }
    let mut warnings = Vec::new();
    let logs = plan.rungs.iter().find_map(|rung| {
        let log = rung.hook.environment.iter().find(|(name, _)| name == LOG);
        log.map(|(_, path)| fs::metadata(path).map_or(0, |file| file.len()))
    });
    if logs == Some(0) {
        warnings.push(
            "no word of the list is in the request: the rung log has nothing to write, and costs what scan \
             costs"
                .to_owned(),
        );
    }
    let environment = machine::environment();
    if environment.load_average > 1.0 {
        warnings.push(format!(
            "load average {:.1}: other programs were running",
            environment.load_average
        ));
    }
    Ok(MicroReport {
        schema: SCHEMA.to_owned(),
        hook: hook.path.display().to_string(),
        message_bytes: plan.message.len(),
        blocks: plan.blocks,
        hot_calls: arguments.calls,
        cold_calls: arguments.cold_calls,
        trim_each_end: plan.trim,
        eviction: eviction(&measured.eviction),
        against_run: recorded
            .map(|recorded| against(recorded, &rungs))
            .transpose()?,
        rungs,
        warnings,
        environment,
        placement: plan.placement.clone(),
    })
}

/// Sets the figures of the run's rung beside what the run saw in situ.
fn against(recorded: &Recorded, rungs: &[RungCost]) -> anyhow::Result<AgainstRun> {
    let mode = recorded
        .hook
        .environment
        .iter()
        .find(|(name, _)| name == MODE)
        .map_or("scan", |(_, mode)| mode.as_str());
    let rung = rungs
        .iter()
        .find(|rung| rung.name == mode || rung.name == AS_SET)
        .with_context(|| format!("the run's hook was on the rung {mode}; add it to --rungs"))?;
    let layer = &recorded.analysis.in_situ;
    let in_situ = layer.hook_overhead_corrected.as_ref();
    let in_situ = in_situ
        .or(layer.hook_overhead.as_ref())
        .context("no in-situ layer")?;
    let figures = [
        (Temperature::Hot, Some(&rung.hot)),
        (Temperature::Cold, rung.cold.as_ref()),
        (Temperature::Flushed, rung.flushed.as_ref()),
    ];
    let differences: Vec<_> = figures
        .into_iter()
        .filter_map(|(temperature, cost)| Some(predict(temperature, &cost?.overhead, in_situ)))
        .collect();
    let nearest = differences
        .iter()
        .min_by(|left, right| left.share.abs().total_cmp(&right.share.abs()))
        .map_or(String::new(), |nearest| nearest.temperature.clone());
    Ok(AgainstRun {
        run: recorded.folder.display().to_string(),
        rung: rung.name.clone(),
        in_situ: in_situ.clone(),
        differences,
        nearest,
    })
}

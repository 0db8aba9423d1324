//! `probe-user micro`: what a hook adds to one `read` in isolation, rung by rung, hot and cold.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::Args;
use runlog::analysis::Analysis;
use runlog::manifest::Manifest;
use runlog::{RunDirectory, json};
use stats::Trim;

use crate::command::End;
use crate::command::ladder::{Ladder, RUNGS, Recorded, Rungs};
use crate::command::options::{Output, hook_spec, progress_bar};
use crate::machine::{self, Policy};
use crate::run::arms::HookSpec;
use crate::run::stop::Stop;
use crate::show;

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
    #[arg(long, default_value_t = Trim::USUAL, value_name = "SHARE")]
    trim: Trim,

    /// Seed of the random order; drawn when not given
    #[arg(long, value_name = "S")]
    seed: Option<u64>,

    #[command(flatten)]
    output: Output,
}

/// Runs it.
pub async fn micro(arguments: MicroArguments) -> anyhow::Result<End> {
    if !arguments.path.starts_with('/') {
        bail!("--path {}: must start with /", arguments.path);
    }
    let recorded = arguments.run.as_deref().map(recorded).transpose()?;
    let hook = match &recorded {
        Some((hook, _)) => hook.clone(),
        None => hook_spec(arguments.hook.as_deref(), &arguments.hook_env)?,
    };
    let recorded = recorded.as_ref().map(|(_, recorded)| recorded);
    let ladder = Ladder {
        hook,
        rungs: if arguments.as_set {
            Rungs::AsSet
        } else {
            Rungs::Named(arguments.rungs)
        },
        blocks: arguments.blocks,
        hot_calls: arguments.calls,
        cold_calls: arguments.cold_calls,
        path: arguments.path,
        trial: None,
        trim: arguments.trim,
        seed: arguments.seed.unwrap_or_else(machine::unix_ns),
        placement: machine::place(Policy::OneCore, 1)?,
    };
    let mut stop = Stop::listen()?;
    let bar = progress_bar();
    bar.set_message("micro layer");
    let report = tokio::select! {
        report = ladder.measure(recorded, &bar) => report?,
        reason = stop.requested() => bail!("{reason}: nothing was measured"),
    };
    bar.finish_and_clear();
    arguments.output.print(&report, show::micro::print)?;
    Ok(End::Complete)
}

/// Reads a run to compare with: its hook, and what it saw.
fn recorded(folder: &Path) -> anyhow::Result<(HookSpec, Recorded)> {
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
    let hook = HookSpec {
        path: path.into(),
        environment,
    };
    let recorded = Recorded {
        folder: folder.to_owned(),
        in_situ: analysis.in_situ,
    };
    Ok((hook, recorded))
}

//! `probe-user compare`: the same comparison in several runs, side by side.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Args;
use cli::outln;
use runlog::comparison::{SETTINGS_SCHEMA, Setting, Settings};

use crate::analysis::recorded::compare::{Choices, compare as compare_arms};
use crate::analysis::recorded::read::{RunArms, manifest};
use crate::command::End;
use crate::command::analyze::trim;
use crate::show;

/// Options of `compare`.
#[derive(Args, Debug)]
#[command(after_help = "\
Within each run, every arm is compared with the first, by block means. Runs are not tested against each other:
they differ in more than the setting.

Examples:
  probe-user compare runs/docker runs/kind runs/eks-pod runs/eks-nodes
  probe-user compare runs/* --json")]
pub struct CompareArguments {
    /// Folders of runs
    #[arg(value_name = "RUN", required = true)]
    runs: Vec<PathBuf>,

    /// Share of a block's values that its mean leaves out at each end
    #[arg(long, default_value_t = 0.05, value_name = "SHARE")]
    trim: f64,

    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

/// Compares.
pub fn compare(arguments: &CompareArguments) -> anyhow::Result<End> {
    let choices = Choices::by_blocks(trim(arguments.trim)?);
    let settings = arguments
        .runs
        .iter()
        .map(|run| setting(run, choices).with_context(|| format!("run {}", run.display())));
    let settings = Settings {
        schema: SETTINGS_SCHEMA.to_owned(),
        settings: settings.collect::<anyhow::Result<_>>()?,
    };
    if arguments.json {
        outln!("{}", serde_json::to_string_pretty(&settings)?);
    } else {
        show::comparison::settings(&settings);
    }
    Ok(End::Complete)
}

fn setting(run: &Path, choices: Choices) -> anyhow::Result<Setting> {
    let comparisons = compare_arms(RunArms::of(run, false)?.read()?, choices)?;
    let manifest = manifest(run)?;
    Ok(Setting {
        run: run.display().to_string(),
        kernel: manifest.environment.kernel,
        cpu_model: manifest.environment.cpu_model,
        placement: manifest.placement.policy,
        order: manifest.schedule.order,
        connections: manifest.schedule.connections,
        comparisons,
    })
}

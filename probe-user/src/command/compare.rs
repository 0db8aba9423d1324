//! `probe-user compare`: the same comparison in several runs, side by side.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::Args;
use cli::outln;
use runlog::comparison::{Comparisons, Method, SETTINGS_SCHEMA, Setting, Settings};
use stats::Trim;

use crate::command::End;
use crate::show;
use verdict::recorded::compare::{Choices, compare as compare_arms};
use verdict::recorded::read::{Wanted, arms_of, manifest, read};

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
    #[arg(long, default_value_t = Trim::USUAL, value_name = "SHARE")]
    trim: Trim,

    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

/// Compares.
pub fn compare(arguments: &CompareArguments) -> anyhow::Result<End> {
    let choices = Choices {
        method: Method::Blocks,
        warmup: None,
        blocks: None,
        trim: arguments.trim,
    };
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

/// Compares the arms of a run with its first.
pub fn comparisons(run: &Path, choices: Choices) -> anyhow::Result<Comparisons> {
    let sources = arms_of(run)?;
    if sources.len() < 2 {
        bail!("has one arm; a comparison needs two");
    }
    let wanted = Wanted {
        warmup: false,
        file_order: false,
        foreign_unit_ns: None,
    };
    let arms = sources.iter().map(|source| read(source, wanted));
    compare_arms(arms.collect::<anyhow::Result<_>>()?, choices)
}

fn setting(run: &Path, choices: Choices) -> anyhow::Result<Setting> {
    let comparisons = comparisons(run, choices)?;
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

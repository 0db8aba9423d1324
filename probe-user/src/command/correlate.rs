//! `probe-user correlate`: joins the records of a finished run to its requests, again.

use std::path::PathBuf;

use anyhow::{Context as _, bail};
use clap::Args;
use runlog::manifest::Manifest;
use runlog::{RunDirectory, json};

use crate::command::End;
use crate::join::join_run;
use crate::show;

/// Options of `correlate`.
#[derive(Args, Debug)]
pub struct CorrelateArguments {
    /// Folder of a run
    #[arg(value_name = "RUN")]
    run: PathBuf,

    /// Print the counts as JSON
    #[arg(long)]
    json: bool,
}

/// Joins.
pub fn correlate(arguments: &CorrelateArguments) -> anyhow::Result<End> {
    let run = RunDirectory::existing(&arguments.run);
    let manifest: Manifest = json::read(&run.manifest())
        .with_context(|| format!("{} is not the folder of a run", arguments.run.display()))?;
    if manifest.probes.is_none() {
        bail!(
            "{} was made without probes: there is nothing to join",
            arguments.run.display()
        );
    }
    let is_hooked = |arm: u16| {
        manifest
            .arms
            .get(usize::from(arm))
            .is_some_and(|arm| arm.hook.is_some())
    };
    let output = join_run(&run, is_hooked, |_, _| Ok(()))?;
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&output.join)?);
    } else {
        show::join(&output.join);
    }
    if output.cut_short {
        eprintln!("probe-user: a log of this run was cut short; its complete rows were joined");
        return Ok(End::CutShort);
    }
    Ok(End::Complete)
}

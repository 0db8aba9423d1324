//! `probe-user doctor`: can this machine measure, and were the recommendations kept?

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::Args;
use indicatif::ProgressBar;
use runlog::calibration::Calibration;
use runlog::doctor::State;
use runlog::{RunDirectory, analysis, json, manifest};
use stats::Trim;

use crate::command::End;
use crate::command::options::Output;
use crate::command::validate::probes::every_kind;
use crate::doctor::{Run, diagnose};
use crate::run::calibration::calibrate;
use crate::run::stop::Stop;
use crate::show;
use probes::SiteChoice;

/// Options of `doctor`.
#[derive(Args, Debug)]
#[command(after_help = "\
Every kind of probe is attached for a moment and has to see the calls of a process of ours, which takes some
seconds. Exit code 4 if anything fails.

Examples:
  sudo probe-user doctor
  sudo probe-user doctor runs/bench-20261125T101500Z     the recommendations too, by what the run has on record
  sudo probe-user doctor runs/docker runs/kind --json
  probe-user doctor --no-attach --watch 10               without root: limits, neighbours, stolen time")]
pub struct DoctorArguments {
    /// Folders of finished runs of `bench`; the last is the one in question
    #[arg(value_name = "RUN")]
    runs: Vec<PathBuf>,

    /// For how long to watch limits, neighbours and stolen time
    #[arg(long, default_value_t = 1, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=3_600))]
    watch: u64,

    /// Do not try the probes
    #[arg(long)]
    no_attach: bool,

    #[command(flatten)]
    output: Output,
}

/// Examines the machine.
pub async fn doctor(arguments: DoctorArguments) -> anyhow::Result<End> {
    let runs = arguments
        .runs
        .iter()
        .map(|run| read_run(run).with_context(|| format!("run {}", run.display())))
        .collect::<anyhow::Result<Vec<_>>>()?;
    let mut stop = Stop::listen()?;
    let examine = async {
        let tried = if arguments.no_attach {
            None
        } else {
            Some(try_probes().await)
        };
        let duration = Duration::from_secs(arguments.watch);
        diagnose(duration, tried, &runs).await
    };
    let diagnosis = tokio::select! {
        diagnosis = examine => diagnosis,
        reason = stop.requested() => bail!("{reason}"),
    };
    arguments.output.print(&diagnosis, show::doctor::print)?;
    let mut findings = diagnosis.findings.iter().chain(&diagnosis.recommendations);
    Ok(if findings.any(|finding| finding.state == State::Fail) {
        End::NotUsable
    } else {
        End::Complete
    })
}

/// Attaches every kind of probe for a moment.
async fn try_probes() -> anyhow::Result<Calibration> {
    /// The fewest that a calibration takes.
    const ROUNDS: u32 = 2;
    let folder = tempfile::tempdir()?;
    let plan = every_kind(SiteChoice::Auto, ROUNDS, Trim::NONE, folder.path())?;
    calibrate(&plan, &ProgressBar::hidden()).await
}

fn read_run(folder: &Path) -> anyhow::Result<Run> {
    let run = RunDirectory::existing(folder);
    Ok(Run {
        manifest: json::read_version(&run.manifest(), manifest::SCHEMA)?,
        analysis: json::read_version(&run.analysis(), analysis::SCHEMA).context(
            "has no analysis, which only runs of bench have, and only when they came to their end",
        )?,
    })
}

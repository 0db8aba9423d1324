//! `probe-user validate probes`: what each kind of probe adds on this machine.

use std::iter;
use std::path::Path;

use anyhow::bail;
use clap::Args;
use runlog::calibration::{CalibrationReport, SCHEMA};
use stats::Trim;

use crate::command::End;
use crate::command::options::{Output, progress_bar};
use crate::machine::{self, Policy};
use crate::run::arms::HookSpec;
use crate::run::calibration::{Functions, Plan, calibrate};
use crate::run::programs;
use crate::run::stop::Stop;
use crate::show;
use probes::{KernelProbe, SiteChoice};

/// Every kind of probe on our own hook and functions: the sites alone, and each kernel pair. What the calibrated
/// process has to say goes into `folder`.
pub fn every_kind(
    site: SiteChoice,
    rounds: u32,
    trim: Trim,
    folder: &Path,
) -> anyhow::Result<Plan> {
    Ok(Plan {
        kernel_probes: iter::once(KernelProbe::None)
            .chain(KernelProbe::PAIRS)
            .collect(),
        functions: Functions::All,
        hook: Some(HookSpec {
            path: programs::hook()?,
            environment: Vec::new(),
        }),
        bracket: None,
        site,
        rounds,
        trim,
        seed: machine::unix_ns(),
        placement: machine::place(Policy::OneCore, 1)?,
        log: folder.join("calibration.log"),
    })
}

/// Options of `validate probes`.
#[derive(Args, Debug)]
#[command(after_help = "\
Bias is what a probe adds to the duration that it sees: results are corrected by it. Cost is what it adds to
the call that it watches.

Examples:
  sudo probe-user validate probes
  sudo probe-user validate probes --rounds 40 --json")]
pub struct ProbesArguments {
    /// Rounds; in each, every kind of probe is attached and detached once
    #[arg(long, default_value_t = 10, value_name = "N", value_parser = clap::value_parser!(u32).range(2..))]
    rounds: u32,

    /// Share of the values left out at each end
    #[arg(long, default_value_t = Trim::USUAL, value_name = "SHARE")]
    trim: Trim,

    /// Where in the hook's probe sites to attach
    #[arg(long, value_enum, default_value_t = SiteChoice::Auto)]
    site: SiteChoice,

    #[command(flatten)]
    output: Output,
}

/// Calibrates every kind of probe that this kernel has.
pub async fn probes(arguments: ProbesArguments) -> anyhow::Result<End> {
    let folder = tempfile::tempdir()?;
    let plan = every_kind(
        arguments.site,
        arguments.rounds,
        arguments.trim,
        folder.path(),
    )?;
    machine::bind_to(&plan.placement.agent_cpus)?;
    let mut stop = Stop::listen()?;
    let bar = progress_bar();
    bar.set_message("calibrating");
    let calibration = tokio::select! {
        calibration = calibrate(&plan, &bar) => calibration?,
        reason = stop.requested() => bail!("{reason}"),
    };
    bar.finish_and_clear();
    let report = CalibrationReport {
        schema: SCHEMA.to_owned(),
        environment: machine::environment(),
        calibration,
    };
    arguments.output.print(&report, show::calibration::print)?;
    Ok(End::Complete)
}

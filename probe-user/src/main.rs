//! `probe-user`: the agent and command line of hookprobe.
//!
//! [`discover`] finds what to probe, [`probes`] loads and attaches the eBPF programs and keeps the ledger, [`run`]
//! runs an experiment, [`agent`] watches what runs, [`join`] joins records to requests, [`analysis`] compares,
//! [`merge`] adds up what nodes have seen, [`show`] prints; [`command`] puts them together.

mod agent;
mod cgroup;
mod command;
mod doctor;
mod machine;
mod run;
mod show;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use log::LevelFilter;

use crate::command::agent::AgentArguments;
use crate::command::analyze::AnalyzeArguments;
use crate::command::bench::BenchArguments;
use crate::command::correlate::CorrelateArguments;
use crate::command::doctor::DoctorArguments;
use crate::command::merge::MergeArguments;
use crate::command::micro::MicroArguments;
use crate::command::moved::refuse_moved;
use crate::command::report::ReportArguments;
use crate::command::trace::TraceArguments;
use crate::command::validate::ValidateArguments;
use crate::command::{End, analyze, bench, correlate, micro, report, trace, validate};
use crate::run::calibration::worker as calibrate_worker;
use crate::run::micro::worker as micro_worker;

/// Measures what a function hook costs: alone, inside the running system, and end to end.
#[derive(Debug, Parser)]
#[command(
    version,
    args_override_self = true,
    after_help = "\
Examples:
  sudo probe-user bench                        the hook beside this program
  probe-user bench --no-probes                 no root: micro and macro only
  sudo probe-user bench -- java Server.java {port}      on a server of yours
  sudo probe-user trace --port 6379 --duration 10
  sudo probe-user agent                        watch arms, and serve metrics
  sudo probe-user doctor                       can this machine measure?
  probe-user micro                             rung by rung, hot and cold
  probe-user analyze --arm without=a.csv --arm with=b.csv
  probe-user report runs/bench-TIME            page, plots, tables, a trace
  probe-user report runs/docker runs/kind      runs side by side

Exit codes: 0 complete, 1 error, 2 usage, 3 cut short (what was measured is
kept), 4 not usable"
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Measure a hook at three layers in one run
    Bench(BenchArguments),
    /// Time the reads, or any function, of running processes
    Trace(TraceArguments),
    /// Watch the arms of a machine, and serve what they take
    Agent(AgentArguments),
    /// Check the instrument: its probes, equal servers, known delays
    Validate(ValidateArguments),
    /// Measure what a hook adds to one read, alone, rung by rung
    Micro(MicroArguments),
    /// Say what speaks against measuring here, and what to do about it
    Doctor(DoctorArguments),
    /// Join the records of a finished run to its requests
    Correlate(CorrelateArguments),
    /// Compare recorded arms: a run's, or those of files
    Analyze(AnalyzeArguments),
    /// Add up what agents and traces of several nodes have seen
    Merge(MergeArguments),
    /// Draw a run up as a page, plots, tables or a trace; compare several
    Report(ReportArguments),
    /// The measured process of the micro layer
    #[command(hide = true)]
    MicroWorker,
    /// The process that probes are calibrated on
    #[command(hide = true)]
    CalibrateWorker(calibrate_worker::WorkerArguments),
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    env_logger::builder()
        .filter_level(LevelFilter::Warn)
        .parse_default_env()
        .init();
    if let Some(code) = refuse_moved() {
        return code;
    }
    let Arguments { command } = cli::parse();
    let result = match command {
        Command::Bench(arguments) => Box::pin(bench::bench(arguments)).await,
        Command::Trace(arguments) => trace::trace(arguments).await,
        Command::Agent(arguments) => command::agent::agent(arguments).await,
        Command::Validate(arguments) => validate::validate(arguments).await,
        Command::Doctor(arguments) => command::doctor::doctor(arguments).await,
        Command::Correlate(arguments) => correlate::correlate(&arguments),
        Command::Analyze(arguments) => analyze::analyze(&arguments),
        Command::Merge(arguments) => command::merge::merge(arguments).await,
        Command::Report(arguments) => report::report(&arguments),
        Command::Micro(arguments) => micro::micro(arguments).await,
        Command::MicroWorker => micro_worker::work().map(|()| End::Complete),
        Command::CalibrateWorker(arguments) => {
            calibrate_worker::work(arguments).map(|()| End::Complete)
        }
    };
    cli::end("probe-user", result)
}

//! Writes the JSON schemas of the run directory's files to the folder given.

use std::path::PathBuf;

use runlog::a_a::AaReport;
use runlog::agent::Arms;
use runlog::agent_run::{AgentRun, Announcement, Finish, RunEntries};
use runlog::analysis::Analysis;
use runlog::calibration::CalibrationReport;
use runlog::comparison::{Comparisons, Settings};
use runlog::correlation::Correlation;
use runlog::doctor::Diagnosis;
use runlog::live::LiveEvent;
use runlog::manifest::Manifest;
use runlog::merged::Merged;
use runlog::micro::MicroReport;
use runlog::summary::LoadSummary;
use runlog::trace::{Interval, Trace};
use runlog::truth::{Blind, Coverage, Truth};
use runlog::{Result, json};

fn main() -> Result<()> {
    let folder = PathBuf::from(
        std::env::args_os()
            .nth(1)
            .unwrap_or_else(|| "docs/schema".into()),
    );
    json::write(
        &folder.join("analysis.json"),
        &schemars::schema_for!(Analysis),
    )?;
    json::write(
        &folder.join("manifest.json"),
        &schemars::schema_for!(Manifest),
    )?;
    json::write(
        &folder.join("calibration.json"),
        &schemars::schema_for!(CalibrationReport),
    )?;
    json::write(
        &folder.join("doctor.json"),
        &schemars::schema_for!(Diagnosis),
    )?;
    json::write(
        &folder.join("load.json"),
        &schemars::schema_for!(LoadSummary),
    )?;
    json::write(
        &folder.join("load-live.json"),
        &schemars::schema_for!(LiveEvent),
    )?;
    json::write(
        &folder.join("load-api.openapi.json"),
        &runlog::load_openapi::describe(),
    )?;
    json::write(
        &folder.join("micro.json"),
        &schemars::schema_for!(MicroReport),
    )?;
    json::write(
        &folder.join("correlation.json"),
        &schemars::schema_for!(Correlation),
    )?;
    json::write(
        &folder.join("comparison.json"),
        &schemars::schema_for!(Comparisons),
    )?;
    json::write(
        &folder.join("settings.json"),
        &schemars::schema_for!(Settings),
    )?;
    json::write(
        &folder.join("agent-arms.json"),
        &schemars::schema_for!(Arms),
    )?;
    json::write(
        &folder.join("agent-run.json"),
        &schemars::schema_for!(AgentRun),
    )?;
    json::write(
        &folder.join("agent-runs.json"),
        &schemars::schema_for!(RunEntries),
    )?;
    json::write(
        &folder.join("agent-run-announcement.json"),
        &schemars::schema_for!(Announcement),
    )?;
    json::write(
        &folder.join("agent-run-finish.json"),
        &schemars::schema_for!(Finish),
    )?;
    json::write(&folder.join("merged.json"), &schemars::schema_for!(Merged))?;
    json::write(&folder.join("a-a.json"), &schemars::schema_for!(AaReport))?;
    json::write(
        &folder.join("coverage.json"),
        &schemars::schema_for!(Coverage),
    )?;
    json::write(
        &folder.join("truth-blind.json"),
        &schemars::schema_for!(Blind),
    )?;
    json::write(&folder.join("trace.json"), &schemars::schema_for!(Trace))?;
    json::write(
        &folder.join("trace-interval.json"),
        &schemars::schema_for!(Interval),
    )?;
    json::write(&folder.join("truth.json"), &schemars::schema_for!(Truth))
}

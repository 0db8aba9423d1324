//! The JSON schemas of the run directory's files and of the HTTP interfaces, for readers outside this workspace. They are
//! made from the types, in tests alone: no program carries what makes them.

use std::fs;

use serde_json::to_string_pretty;

use crate::a_a::AaReport;
use crate::agent::Arms;
use crate::agent_run::{AgentRun, Announcement, ClockReading, Finish, RunEntries};
use crate::analysis::Analysis;
use crate::calibration::CalibrationReport;
use crate::comparison::{Comparisons, Settings};
use crate::correlation::Correlation;
use crate::doctor::Diagnosis;
use crate::live::LiveEvent;
use crate::manifest::Manifest;
use crate::merged::Merged;
use crate::micro::MicroReport;
use crate::summary::LoadSummary;
use crate::trace::{Interval, Trace};
use crate::trial::TrialCounts;
use crate::truth::{Blind, Coverage, Truth};

use super::load_openapi;

/// Where they are kept.
const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/schema");

/// The path of each file, and what is in it.
fn all() -> Vec<(String, String)> {
    macro_rules! of {
        ($($file:literal: $shape:ty,)*) => {
            vec![$(($file, to_string_pretty(&schemars::schema_for!($shape))),)*]
        };
    }
    let mut all = of! {
        "analysis.json": Analysis,
        "manifest.json": Manifest,
        "calibration.json": CalibrationReport,
        "doctor.json": Diagnosis,
        "load.json": LoadSummary,
        "load-live.json": LiveEvent,
        "micro.json": MicroReport,
        "correlation.json": Correlation,
        "comparison.json": Comparisons,
        "settings.json": Settings,
        "agent-arms.json": Arms,
        "agent-run.json": AgentRun,
        "agent-runs.json": RunEntries,
        "agent-run-announcement.json": Announcement,
        "agent-run-finish.json": Finish,
        "agent-clock.json": ClockReading,
        "merged.json": Merged,
        "a-a.json": AaReport,
        "coverage.json": Coverage,
        "truth-blind.json": Blind,
        "trace.json": Trace,
        "trace-interval.json": Interval,
        "trial-counts.json": TrialCounts,
        "truth.json": Truth,
    };
    all.push((
        "load-api.openapi.json",
        to_string_pretty(&load_openapi::describe()),
    ));
    all.into_iter()
        .map(|(name, text)| (format!("{FOLDER}/{name}"), text.unwrap() + "\n"))
        .collect()
}

#[test]
fn the_published_schemas_are_those_of_the_types() {
    let all = all();
    for (path, text) in &all {
        let kept = fs::read_to_string(path).unwrap();
        // Not assert_eq: it would print both.
        assert!(kept == *text, "run cargo xtask schemas: {path} has changed");
    }
    let kept = fs::read_dir(FOLDER).unwrap().count();
    assert_eq!(kept, all.len(), "a file that nothing writes");
}

/// `cargo xtask schemas`.
#[test]
#[ignore = "writes into docs/schema"]
fn write() {
    for (path, text) in all() {
        fs::write(path, text).unwrap();
    }
}

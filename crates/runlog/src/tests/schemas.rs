//! The JSON schemas of the run directory's files and of the HTTP interfaces, for readers outside this workspace. They are
//! made from the types, in tests alone: no program carries what makes them.

use std::path::Path;

use serde_json::{Value, to_value};

use crate::a_a::AaReport;
use crate::agent::Arms;
use crate::agent_run::{AgentRun, Announcement, Finish, RunEntries};
use crate::analysis::Analysis;
use crate::calibration::CalibrationReport;
use crate::comparison::{Comparisons, Settings};
use crate::correlation::Correlation;
use crate::doctor::Diagnosis;
use crate::json;
use crate::live::LiveEvent;
use crate::manifest::Manifest;
use crate::merged::Merged;
use crate::micro::MicroReport;
use crate::summary::LoadSummary;
use crate::trace::{Interval, Trace};
use crate::truth::{Blind, Coverage, Truth};

use super::load_openapi;

/// Where they are kept.
const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/schema");

/// Each file, and what is in it.
fn all() -> Vec<(&'static str, Value)> {
    macro_rules! of {
        ($($file:literal: $shape:ty,)*) => {
            vec![$(($file, to_value(schemars::schema_for!($shape)).unwrap()),)*]
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
        "merged.json": Merged,
        "a-a.json": AaReport,
        "coverage.json": Coverage,
        "truth-blind.json": Blind,
        "trace.json": Trace,
        "trace-interval.json": Interval,
        "truth.json": Truth,
    };
    all.push(("load-api.openapi.json", load_openapi::describe()));
    all
}

#[test]
fn the_published_schemas_are_those_of_the_types() {
    let mut published = 0;
    for (name, schema) in all() {
        let kept: Value = json::read(&Path::new(FOLDER).join(name)).unwrap();
        // Not assert_eq: it would print both.
        assert!(
            kept == schema,
            "run cargo xtask schemas: {name} has changed"
        );
        published += 1;
    }
    let kept = std::fs::read_dir(FOLDER).unwrap().count();
    assert_eq!(
        kept, published,
        "docs/schema has a file that nothing writes"
    );
}

/// `cargo xtask schemas`.
#[test]
#[ignore = "writes into docs/schema"]
fn write() {
    for (name, schema) in all() {
        json::write(&Path::new(FOLDER).join(name), &schema).unwrap();
    }
}

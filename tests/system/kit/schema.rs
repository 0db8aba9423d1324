//! The JSON documents of the programs, held against their schemas.

use anyhow::{Context as _, bail};

/// The published schemas, by name. Built in, as the tests run on other machines too.
const SCHEMAS: &[(&str, &str)] = &[
    (
        "agent-arms",
        include_str!("../../../docs/schema/agent-arms.json"),
    ),
    (
        "agent-run",
        include_str!("../../../docs/schema/agent-run.json"),
    ),
    (
        "agent-runs",
        include_str!("../../../docs/schema/agent-runs.json"),
    ),
    (
        "analysis",
        include_str!("../../../docs/schema/analysis.json"),
    ),
    (
        "calibration",
        include_str!("../../../docs/schema/calibration.json"),
    ),
    (
        "comparison",
        include_str!("../../../docs/schema/comparison.json"),
    ),
    (
        "settings",
        include_str!("../../../docs/schema/settings.json"),
    ),
    (
        "correlation",
        include_str!("../../../docs/schema/correlation.json"),
    ),
    ("load", include_str!("../../../docs/schema/load.json")),
    (
        "load-live",
        include_str!("../../../docs/schema/load-live.json"),
    ),
    (
        "manifest",
        include_str!("../../../docs/schema/manifest.json"),
    ),
    ("merged", include_str!("../../../docs/schema/merged.json")),
    ("micro", include_str!("../../../docs/schema/micro.json")),
    ("trace", include_str!("../../../docs/schema/trace.json")),
    (
        "trace-interval",
        include_str!("../../../docs/schema/trace-interval.json"),
    ),
    ("a-a", include_str!("../../../docs/schema/a-a.json")),
    (
        "coverage",
        include_str!("../../../docs/schema/coverage.json"),
    ),
    (
        "truth-blind",
        include_str!("../../../docs/schema/truth-blind.json"),
    ),
    (
        "trial-counts",
        include_str!("../../../docs/schema/trial-counts.json"),
    ),
    ("truth", include_str!("../../../docs/schema/truth.json")),
    ("doctor", include_str!("../../../docs/schema/doctor.json")),
];

/// Checks a value against a published schema.
#[track_caller]
pub fn check_schema(value: &serde_json::Value, name: &str) -> anyhow::Result<()> {
    let (_, schema) = SCHEMAS
        .iter()
        .find(|(known, _)| *known == name)
        .with_context(|| format!("no schema {name}"))?;
    let schema = serde_json::from_str(schema)?;
    if let Err(error) = jsonschema::validate(&schema, value) {
        bail!(
            "does not fit the schema {name}: {error} at {}",
            error.instance_path()
        );
    }
    Ok(())
}

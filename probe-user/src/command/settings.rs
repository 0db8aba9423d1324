//! The arms of a run compared with its first, and those of several runs side by side.

use std::path::Path;

use runlog::comparison::{Comparisons, SETTINGS_SCHEMA, Setting, Settings};
use runlog::manifest::Manifest;

use verdict::recorded::compare::{Choices, compare};
use verdict::recorded::read::read_run;

/// Compares the arms of a run with its first, by blocks.
pub fn comparisons(run: &Path) -> anyhow::Result<Comparisons> {
    compare(read_run(run, false)?, Choices::BY_BLOCKS)
}

/// Puts runs side by side.
pub fn side_by_side(
    runs: impl Iterator<Item = anyhow::Result<Setting>>,
) -> anyhow::Result<Settings> {
    Ok(Settings {
        schema: SETTINGS_SCHEMA.to_owned(),
        settings: runs.collect::<anyhow::Result<_>>()?,
    })
}

/// A run, and the comparison of its arms.
pub fn setting(run: &Path, manifest: Manifest, comparisons: Comparisons) -> Setting {
    Setting {
        run: run.display().to_string(),
        kernel: manifest.environment.kernel,
        cpu_model: manifest.environment.cpu_model,
        placement: manifest.placement.policy,
        order: manifest.schedule.order,
        connections: manifest.schedule.connections,
        comparisons,
    }
}

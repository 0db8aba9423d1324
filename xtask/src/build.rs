//! Building.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;

use crate::command::{Stages, cargo, release, run};
use crate::setup;

/// The packages of the programs and the hook.
const PROGRAMS: [&str; 4] = ["readhook", "sut", "loadgen", "probe-user"];

/// Sets up and builds the programs and the hook, optimised.
pub fn prepare(stages: &mut Stages) -> anyhow::Result<()> {
    stages.run("setup", setup::all)?;
    stages.run("build", build)
}

/// As above, with the benches: for measuring with them, and for tests, as some of their programs stand in the kernel.
pub fn prepare_with_bench(stages: &mut Stages) -> anyhow::Result<()> {
    stages.run("setup", setup::all)?;
    stages.run("build", || {
        programs_and_bench(cargo().arg("build"), &release())
    })
}

fn build() -> anyhow::Result<()> {
    programs(cargo().arg("build"), &release())
}

/// Builds the programs and the hook, optimised, with a `cargo build` that puts them into a folder.
pub fn programs(cargo_build: &mut Command, folder: &Path) -> anyhow::Result<()> {
    packages(cargo_build, folder, &PROGRAMS)
}

/// As above, and the benches.
pub fn programs_and_bench(cargo_build: &mut Command, folder: &Path) -> anyhow::Result<()> {
    programs(cargo_build.args(["--package", "bench"]), folder)
}

/// Builds the hook alone, optimised; returns its path.
pub fn hook(stages: &mut Stages) -> anyhow::Result<PathBuf> {
    stages.run("build of the hook", || {
        hook_with(cargo().arg("build"), &release())
    })?;
    Ok(release().join("readhook.so"))
}

/// Builds the hook alone, optimised, with a `cargo build` that puts it into a folder.
pub fn hook_with(cargo_build: &mut Command, folder: &Path) -> anyhow::Result<()> {
    packages(cargo_build, folder, &["readhook"])
}

fn packages(cargo_build: &mut Command, folder: &Path, packages: &[&str]) -> anyhow::Result<()> {
    run(cargo_build
        .arg("--release")
        .args(packages.iter().flat_map(|package| ["--package", package])))?;
    // Cargo names libraries lib*.so; the hook is known as readhook.so.
    let built = folder.join("libreadhook.so");
    let named = folder.join("readhook.so");
    let _ = fs::remove_file(&named);
    fs::hard_link(&built, &named)
        .or_else(|_| fs::copy(&built, &named).map(|_| ()))
        .with_context(|| format!("cannot make {}", named.display()))
}

/// Writes the JSON schemas of the run directory's files.
pub fn schemas() -> anyhow::Result<()> {
    run(cargo().args([
        "run",
        "--quiet",
        "--package",
        "runlog",
        "--example",
        "schemas",
    ]))
}

//! Building.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;

use crate::command::{Stages, cargo, release, run, together};
use crate::setup;

/// What is selected for every build of something, which then names its target. The selection decides which features
/// libraries have: with one selection, and one profile, each is compiled once for programs, tests and benches. The
/// eBPF programs and the preloaded libraries are for targets and a profile of their own.
pub const SELECTION: [&str; 12] = [
    "--release",
    "--workspace",
    "--exclude",
    "probe-ebpf",
    "--exclude",
    "bench-ebpf",
    "--exclude",
    "readhook",
    "--exclude",
    "front",
    "--exclude",
    "back",
];

/// The preloaded libraries: the hook, and the bracket around it.
pub const LIBRARIES: [&str; 3] = ["readhook", "front", "back"];

/// What is selected to build, lint or test them.
pub const HOOK: [&str; 8] = [
    "--profile",
    "hook",
    "--package",
    LIBRARIES[0],
    "--package",
    LIBRARIES[1],
    "--package",
    LIBRARIES[2],
];

/// The programs of the main job.
const PROGRAMS: [&str; 3] = ["sut", "loadgen", "probe-user"];
/// What the main job does without.
const BENCH: [&str; 1] = ["bench"];

/// Sets up and builds the programs and the hook, optimised.
pub fn prepare(stages: &mut Stages) -> anyhow::Result<()> {
    prepare_all(&PROGRAMS, stages)
}

/// As above, with the benches: for measuring with them, and for tests, some of which use their programs.
pub fn prepare_with_bench(stages: &mut Stages) -> anyhow::Result<()> {
    prepare_all(&[PROGRAMS.as_slice(), &BENCH].concat(), stages)
}

fn prepare_all(programs: &[&str], stages: &mut Stages) -> anyhow::Result<()> {
    setup::mounts(); // sudo may ask for a password
    stages.run("setup", || {
        together(setup::ebpf, || {
            // Download the crates of the build below while the linker compiles.
            run(cargo().args(["fetch", "--quiet", "--locked", "--target", "host-tuple"]))?;
            hook_with(cargo().arg("build"), &release())
        })
    })?;
    stages.run("build", || bins(cargo().arg("build"), programs))
}

/// Builds the programs and the hook, optimised, with a `cargo build` for each that puts them into a folder.
pub fn programs(cargo_build: impl Fn() -> Command, folder: &Path) -> anyhow::Result<()> {
    hook_with(&mut cargo_build(), folder)?;
    bins(&mut cargo_build(), &PROGRAMS)
}

/// As above, with the benches.
pub fn programs_and_bench(cargo_build: impl Fn() -> Command, folder: &Path) -> anyhow::Result<()> {
    programs(&cargo_build, folder)?;
    bins(&mut cargo_build(), &BENCH)
}

/// Builds programs of the workspace by name, optimised.
pub fn bins(cargo_build: &mut Command, names: &[&str]) -> anyhow::Result<()> {
    run(cargo_build
        .args(SELECTION)
        .args(names.iter().flat_map(|name| ["--bin", name])))
}

/// Builds the preloaded libraries alone, optimised; returns their folder.
pub fn hook(stages: &mut Stages) -> anyhow::Result<PathBuf> {
    stages.run("build of the hook", || {
        hook_with(cargo().arg("build"), &release())
    })?;
    Ok(release())
}

/// Builds the preloaded libraries alone, optimised, with a `cargo build`, and puts them into the folder of the programs.
pub fn hook_with(cargo_build: &mut Command, folder: &Path) -> anyhow::Result<()> {
    run(cargo_build.args(HOOK))?;
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    for name in LIBRARIES {
        // Cargo names libraries lib*.so; the hook is known as readhook.so. Their folder is the one of their profile.
        let built = folder.with_file_name("hook").join(format!("lib{name}.so"));
        let named = folder.join(format!("{name}.so"));
        let _ = fs::remove_file(&named);
        fs::hard_link(&built, &named)
            .or_else(|_| fs::copy(&built, &named).map(|_| ()))
            .with_context(|| format!("cannot make {}", named.display()))?;
    }
    Ok(())
}

/// Writes the JSON schemas of the run directory's files.
pub fn schemas() -> anyhow::Result<()> {
    run(cargo()
        .args([
            "test",
            "--quiet",
            "--release",
            "--package",
            "runlog",
            "--lib",
        ])
        .args(["--", "--ignored", "--exact", "tests::schemas::write"]))
}

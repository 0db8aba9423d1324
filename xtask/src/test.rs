//! The everyday tests: lints, unit tests, and the system tests on real processes.

use std::path::PathBuf;
use std::process::{Command, ExitCode};

use anyhow::{Context as _, bail};

use crate::check_hook;
use crate::command::{Stages, cargo, output, release, run, target};
use crate::privilege::{Privilege, as_root, privilege};
use crate::{deploy_tools, fuzz, libcs, setup};

/// What is built for tests, of whatever part is needed: which features libraries are built with depends on what is
/// selected, and for other features they would be built once more.
const SELECTION: [&str; 5] = [
    "--workspace",
    "--exclude",
    "probe-ebpf",
    "--exclude",
    "bench-ebpf",
];

/// The tests inside the crates; stats' against `SciPy`'s results, and short simulations.
fn unit_tests() -> anyhow::Result<()> {
    run(cargo()
        .args(["test", "--quiet"])
        .args(SELECTION)
        .args(["--lib", "--bins", "--test", "against_scipy"])
        .args(["--test", "simulation"]))
}

/// Checks formatting and lints.
pub fn lint(stages: &mut Stages) -> anyhow::Result<()> {
    stages.run("format", || run(cargo().args(["fmt", "--all", "--check"])))?;
    stages.run("clippy", || {
        let warnings = ["--", "--deny", "warnings"];
        run(cargo()
            .args(["clippy", "--quiet"])
            .args(SELECTION)
            .arg("--all-targets")
            .args(warnings))
    })?;
    stages.run("clippy of the eBPF programs", || {
        run(cargo()
            .args([
                "clippy",
                "--quiet",
                "--package",
                "probe-ebpf",
                "--package",
                "bench-ebpf",
                "-Z",
                "build-std=core",
            ])
            .args(["--target", "bpfel-unknown-none", "--", "--deny", "warnings"])
            .env("RUSTC_BOOTSTRAP", "1")
            .env("RUSTFLAGS", "--cfg=bpf_target_arch=\"x86_64\"")
            .env("CARGO_TARGET_DIR", target().join("ebpf")))
    })
}

/// Runs lints, unit tests and system tests.
pub fn everyday(stages: &mut Stages) -> anyhow::Result<ExitCode> {
    lint(stages)?;
    stages.run("unit tests", unit_tests)?;
    stages.run("check of the hook's file", || {
        check_hook::check(&release().join("readhook.so"))
    })?;
    stages.run("test peers", || {
        setup::test_peers();
        Ok(())
    })?;
    let must_run = std::env::var_os("CI").is_some_and(|ci| !ci.is_empty());
    stages.run("C libraries", || libcs::fetch(must_run))?;
    stages.run("tools for manifests", || deploy_tools::fetch(must_run))?;
    for fuzzer in [fuzz::SCANNER, fuzz::RESPONSES] {
        fuzzer.run(fuzz::SHORT, stages)?;
    }
    let program = stages.run("build of the system tests", || {
        build_system_tests(cargo().arg("build"))
    })?;
    stages.run("system tests", || system_tests(&program, privilege()))
}

/// Builds the system tests with a `cargo build`; returns the path of the program.
pub fn build_system_tests(cargo_build: &mut Command) -> anyhow::Result<PathBuf> {
    let built = output(
        cargo_build
            .args(["--quiet", "--message-format", "json"])
            .args(SELECTION)
            .args(["--test", "system"]),
    )?;
    String::from_utf8_lossy(&built.stdout)
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .filter(|message| message["target"]["name"] == "system")
        .find_map(|message| message["executable"].as_str().map(PathBuf::from))
        .context("cargo did not say where the system tests are")
}

/// All system tests run as root where that can be had, and not only those that probe: tests send
/// signals to the agent, which is root, and look into its `/proc`. Those about users without root start
/// their programs as `nobody`.
fn system_tests(program: &PathBuf, privilege: Privilege) -> anyhow::Result<ExitCode> {
    let mut command = as_root(program);
    // Tests measure and count; two at a time would disturb each other.
    command
        .arg("--test-threads=1")
        .arg("--programs")
        .arg(release());
    if privilege == Privilege::None {
        eprintln!("without root: the probing tests are skipped, by name");
    } else {
        command.arg("--deny-skips");
    }
    let status = command
        .status()
        .with_context(|| format!("cannot start {command:?}"))?;
    if !status.success() {
        bail!("system tests failed ({status})");
    }
    Ok(ExitCode::SUCCESS)
}

//! The everyday tests: lints, unit tests, and the system tests on real processes.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context as _, bail, ensure};
use clap::Args;

use crate::build::{self, HOOK, LIBRARIES, SELECTION};
use crate::check_hook;
use crate::command::{Stages, cargo, output, release, run, target, together};
use crate::privilege::{Privilege, as_root, privilege};
use crate::{deploy_tools, libcs, setup};

/// Options of `test`.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  cargo xtask test
  cargo xtask test --repeat 5")]
pub struct TestArguments {
    /// Run the system tests alone, so often, and list those that were not passed every time
    #[arg(long, value_name = "N")]
    repeat: Option<NonZeroU32>,
}

/// How the system tests are run, one group after the other: what measures time is alone.
const GROUPS: [[&str; 2]; 2] = [
    ["--group=parallel", "--test-threads=4"],
    ["--group=serial", "--test-threads=1"],
];

/// The tests inside the crates; stats' against `SciPy`'s results, and short simulations.
const UNIT_TESTS: [&str; 6] = [
    "--lib",
    "--bins",
    "--test",
    "against_scipy",
    "--test",
    "simulation",
];

/// Builds unit tests and system tests in one go, so that no processor waits for the longest of them.
fn build_tests() -> anyhow::Result<()> {
    run(test()
        .args(SELECTION)
        .args(UNIT_TESTS)
        .args(["--test", "system", "--no-run"]))
}

fn unit_tests() -> anyhow::Result<()> {
    run(test().args(SELECTION).args(UNIT_TESTS))?;
    run(test().args(HOOK))
}

/// The unit tests once more, in the profile in which arithmetic that overflows and `debug_assert` fail.
pub fn unit_tests_with_assertions() -> anyhow::Result<()> {
    let selection = SELECTION.iter().filter(|word| **word != "--release");
    run(test().args(selection).args(UNIT_TESTS))?;
    run(test().args(LIBRARIES.iter().flat_map(|name| ["--package", name])))
}

fn test() -> Command {
    let mut test = cargo();
    test.args(["test", "--quiet"]);
    test
}

/// Checks formatting and lints.
pub fn lint(stages: &mut Stages) -> anyhow::Result<()> {
    stages.run("format", || run(cargo().args(["fmt", "--all", "--check"])))?;
    stages.run("clippy", || {
        together(clippy_of_ebpf, || {
            clippy(cargo(), &SELECTION)?;
            clippy(cargo(), &HOOK)
        })
    })?;
    Ok(())
}

/// In a target folder of its own: for another target, and at the same time.
fn clippy_of_ebpf() -> anyhow::Result<()> {
    run(cargo()
        .args(["clippy", "--quiet"])
        .args(["--package", "probe-ebpf", "--package", "bench-ebpf"])
        .args(["-Z", "build-std=core", "--target", "bpfel-unknown-none"])
        .args(["--", "--deny", "warnings"])
        .env("RUSTC_BOOTSTRAP", "1")
        .env("RUSTFLAGS", "--cfg=bpf_target_arch=\"x86_64\"")
        .env("CARGO_TARGET_DIR", target().join("ebpf")))
}

fn clippy(mut cargo: Command, selection: &[&str]) -> anyhow::Result<()> {
    run(cargo.args(["clippy", "--quiet"]).args(selection).args([
        "--all-targets",
        "--",
        "--deny",
        "warnings",
    ]))
}

/// Sets up, builds, and runs lints, unit tests and system tests; with `--repeat` the system tests alone.
pub fn everyday(arguments: &TestArguments, stages: &mut Stages) -> anyhow::Result<ExitCode> {
    build::prepare_with_bench(stages)?;
    if arguments.repeat.is_some() {
        peers(stages)?;
    } else {
        // The downloads wait for the network, the lints for the processors.
        let ((), aside) = together(
            || lint(stages),
            || {
                let mut aside = Stages::default();
                peers(&mut aside).map(|()| aside)
            },
        )?;
        stages.append(aside);
        stages.run("build of all tests", build_tests)?;
        stages.run("unit tests", unit_tests)?;
        stages.run("check of the hook's file", || {
            check_hook::check_all(&release())
        })?;
    }
    let program = stages.run("build of the system tests", || {
        build_system_tests(cargo().arg("build"))
    })?;
    let times = arguments.repeat.map_or(1, NonZeroU32::get);
    system_tests(&program, times, stages)
}

/// Fetches what the system tests run beside our programs.
fn peers(stages: &mut Stages) -> anyhow::Result<()> {
    let must_run = std::env::var_os("CI").is_some_and(|ci| !ci.is_empty());
    stages.run("test peers, C libraries, tools for manifests", || {
        setup::test_peers();
        libcs::fetch(must_run)?;
        deploy_tools::fetch(must_run)
    })
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

/// Runs the system tests so many times, and lists those that were not passed every time.
fn system_tests(program: &Path, times: u32, stages: &mut Stages) -> anyhow::Result<ExitCode> {
    if privilege() == Privilege::None {
        eprintln!("without root: the probing tests are skipped, by name");
    }
    let mut failures = BTreeMap::<String, u32>::new();
    for round in 1..=times {
        let name = match times {
            1 => "system tests".to_owned(),
            _ => format!("system tests, {round} of {times}"),
        };
        let failed = stages.run(&name, || {
            let groups = GROUPS.map(|options| run_group(program, &options));
            groups.into_iter().collect::<anyhow::Result<Vec<_>>>()
        })?;
        for test in failed.into_iter().flatten() {
            *failures.entry(test).or_default() += 1;
        }
    }
    for (test, count) in &failures {
        println!("failed {count} of {times} times: {test}");
    }
    ensure!(failures.is_empty(), "system tests failed");
    if times > 1 {
        println!("all system tests passed {times} times");
    }
    Ok(ExitCode::SUCCESS)
}

/// Runs a group of the system tests; returns the names of those that failed.
///
/// All of them run as root where that can be had, and not only those that probe: tests send signals to the agent, which
/// is root, and look into its `/proc`. Those about users without root start their programs as `nobody`.
fn run_group(program: &Path, options: &[&str]) -> anyhow::Result<Vec<String>> {
    let mut command = as_root(program);
    command.args(options).arg("--programs").arg(release());
    if privilege() != Privilege::None {
        command.arg("--deny-skips");
    }
    let mut child = command
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start {command:?}"))?;
    let mut said = Vec::new();
    if let Some(mut stdout) = child.stdout.take() {
        let mut chunk = [0; 4096];
        loop {
            let length = stdout.read(&mut chunk)?;
            if length == 0 {
                break;
            }
            // Who reads along may have gone; what the tests say still counts.
            let _ = std::io::stdout().write_all(&chunk[..length]);
            let _ = std::io::stdout().flush();
            said.extend_from_slice(&chunk[..length]);
        }
    }
    let status = child.wait()?;
    let failed = failed_tests(&String::from_utf8_lossy(&said));
    if !status.success() && failed.is_empty() {
        bail!("system tests failed ({status})");
    }
    Ok(failed)
}

/// The tests that failed, as the list at the end of the harness's words has them.
fn failed_tests(said: &str) -> Vec<String> {
    let Some((_, list)) = said.rsplit_once("\nfailures:\n") else {
        return Vec::new();
    };
    list.lines()
        .map_while(|line| line.strip_prefix("    "))
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tests_that_failed_are_listed_at_the_end() {
        let said = "\
test a::b ... ok
test a::c ... said something
failures:
FAILED

failures:

---- a::c ----
left 1, right 2
failures:
    no_test

---- d::e ----
no


failures:
    a::c
    d::e

test result: FAILED. 1 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1.00s

1 passed, 2 failed, 0 skipped
";
        assert_eq!(failed_tests(said), ["a::c", "d::e"]);
        assert_eq!(
            failed_tests("test a::b ... ok\n\ntest result: ok\n"),
            [""; 0]
        );
    }
}

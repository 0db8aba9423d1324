//! The long proofs, by name.

use std::ffi::OsString;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::bail;

use crate::build;
use crate::command::{self, Stages, cargo, release};
use crate::fuzz::{Fuzzer, RESPONSES, SCANNER};
use crate::mutations;
use crate::privilege::probe_user;
use crate::{containers, test, vm};

/// Name and purpose of each proof.
const PROOFS: [(&str, &str); 10] = [
    (
        "hook-stress",
        "threads that accept, read, duplicate, fork and close under signals for 60 s, through the hook",
    ),
    (
        "truth",
        "delays of 0.5 to 100 µs that the hook injects, unknown to the analysis, are found in situ and end to end",
    ),
    (
        "coverage",
        "60 short runs of one such delay each: how many macro intervals miss it",
    ),
    (
        "a-a",
        "two equal servers, 40 short runs: at most 5 false alarms, the paper's t-test beside it; then 40 runs \
         in the paper's order",
    ),
    (
        "kprobe-guest",
        "the bench with kprobe and kretprobe, from end to end, in a guest with a Debian 6.1 kernel",
    ),
    (
        "statistics",
        "how often intervals hold and alarms are false on simulated runs; the table of the bootstrap's coverage",
    ),
    (
        "fuzz",
        "the hook's scanner finds what a naive search finds, and reads no byte too far, for 10 minutes (--minutes)",
    ),
    (
        "fuzz-responses",
        "the load generator's reader of responses says the same however they arrive, and what a plain decoder \
         says, for 10 minutes (--minutes)",
    ),
    (
        "containers",
        "the images and the compose file in a Docker engine of Debian's packages: every read of the hooked \
         server is seen once, and none of the other",
    ),
    (
        "mutations",
        "what the tests rest on is broken, one thing at a time; a test named beforehand fails",
    ),
];

/// How `probe-user` ends when what it has measured is not usable (docs/run-directory.md).
const NOT_USABLE: u8 = 4;

/// Runs a proof; without a name, lists them.
pub fn run(
    name: Option<&str>,
    minutes: u64,
    must_run: bool,
    stages: &mut Stages,
) -> anyhow::Result<ExitCode> {
    match name {
        None => {
            for (name, purpose) in PROOFS {
                println!("{name:<16} {purpose}");
            }
            Ok(ExitCode::SUCCESS)
        }
        Some("truth") => {
            build::prepare(stages)?;
            truth_twice(stages)
        }
        Some("coverage") => {
            build::prepare(stages)?;
            stages.run("60 short runs", || coverage(&[]))
        }
        Some("a-a") => {
            build::prepare(stages)?;
            let ours = stages.run("40 runs, rmit", || a_a("rmit"))?;
            let papers = stages.run("40 runs, sequential", || a_a("sequential"))?;
            Ok(worse(ours, papers))
        }
        Some("kprobe-guest") => {
            build::prepare(stages)?;
            vm::kprobe_bench(stages).map(|()| ExitCode::SUCCESS)
        }
        Some("statistics") => stages
            .run("statistics", statistics)
            .map(|()| ExitCode::SUCCESS),
        Some("fuzz") => fuzz(&SCANNER, minutes, stages),
        Some("fuzz-responses") => fuzz(&RESPONSES, minutes, stages),
        Some("hook-stress") => {
            build::prepare_with_bench(stages)?;
            stages.run("hook-stress", hook_stress)?;
            Ok(ExitCode::SUCCESS)
        }
        Some("containers") => containers::prove(must_run, stages),
        Some("mutations") => {
            build::prepare_with_bench(stages)?;
            mutations::prove(stages).map(|()| ExitCode::SUCCESS)
        }
        Some(other) => bail!("there is no proof \"{other}\"; `cargo xtask prove` lists them"),
    }
}

fn fuzz(fuzzer: &Fuzzer, minutes: u64, stages: &mut Stages) -> anyhow::Result<ExitCode> {
    let time = Duration::from_secs(60 * minutes);
    fuzzer.run(time, stages).map(|()| ExitCode::SUCCESS)
}

/// The everyday test, for a minute rather than for some rounds.
fn hook_stress() -> anyhow::Result<()> {
    let tests = test::build_system_tests(cargo().arg("build"))?;
    command::run(
        command::command(tests)
            .args([
                "--exact",
                "safety::threads_forks_and_signals_change_no_result",
            ])
            .arg("--programs")
            .arg(release())
            .env("HOOKPROBE_STRESS_SECONDS", "60"),
    )
}

/// The first exit code that is not success.
fn worse(first: ExitCode, second: ExitCode) -> ExitCode {
    if first == ExitCode::SUCCESS {
        second
    } else {
        first
    }
}

fn statistics() -> anyhow::Result<()> {
    command::run(cargo().args([
        "test",
        "--quiet",
        "--release",
        "--package",
        "stats",
        "--test",
        "simulation",
        "--",
        "--include-ignored",
        "--nocapture",
        "--test-threads=1",
    ]))
}

/// Holds a dozen estimates against the truth at once. One may miss by chance, or as the machine's host has something
/// else to do for a second: then a second run must hold.
fn truth_twice(stages: &mut Stages) -> anyhow::Result<ExitCode> {
    let first = stages.run("truth", || truth(&[]))?;
    if first != ExitCode::from(NOT_USABLE) {
        return Ok(first);
    }
    println!("not all delays were found; a second run tells whether that was chance");
    stages.run("truth, once more", || truth(&[]))
}

/// Short blocks keep the arms close in time, so that what else the machine does falls on all alike.
/// Options given twice count as given last. With `--runs` it is [`coverage`].
pub fn truth(arguments: &[OsString]) -> anyhow::Result<ExitCode> {
    let is_series = |word: &OsString| word.to_string_lossy().starts_with("--runs");
    if arguments.iter().any(is_series) {
        return coverage(arguments);
    }
    let defaults = ["--requests=20000", "--blocks=96", "--block-warmup=30"];
    probe_user("truth", &defaults, arguments)
}

/// Short runs of one delay each.
fn coverage(arguments: &[OsString]) -> anyhow::Result<ExitCode> {
    let defaults = [
        "--runs=60",
        "--requests=20000",
        "--blocks=96",
        "--block-warmup=30",
    ];
    probe_user("truth", &defaults, arguments)
}

/// Short runs of two equal servers.
fn a_a(order: &str) -> anyhow::Result<ExitCode> {
    let order = format!("--order={order}");
    let defaults = [
        "--runs=40",
        "--requests=20000",
        "--blocks=96",
        "--block-warmup=30",
        &order,
    ];
    probe_user("a-a", &defaults, &[])
}

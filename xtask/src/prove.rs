//! The long proofs, by name.

use std::ffi::OsString;
use std::fs;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use clap::Args;
use clap::builder::FalseyValueParser;
use serde::Deserialize;

use crate::build;
use crate::command::{self, Stages, cargo, release};
use crate::fuzz::{Fuzzer, RESPONSES, SCANNER, TRIAL};
use crate::privilege::{NOT_USABLE, probe_user};
use crate::{
    containers, hooks, interrupt, mutations, servers, setup, slices, test, trial_runs, vm,
};

/// What a proof may be told.
#[derive(Args, Clone, Copy, Debug)]
pub struct ProofOptions {
    /// How long to fuzz
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..))]
    minutes: u64,

    /// How many trials of each kind, of slices
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
    runs: u32,

    /// Fail where what a proof takes cannot be had, rather than skip it [default in CI]
    #[arg(long, env = "CI", value_parser = FalseyValueParser::new())]
    must_run: bool,
}

/// A long proof.
struct Proof {
    name: &'static str,
    purpose: &'static str,
    /// How long it takes on two cores, about.
    minutes: u32,
    /// Whether `.ci/run` runs it. `prove all` runs the others.
    is_in_ci: bool,
    run: fn(ProofOptions, &mut Stages) -> anyhow::Result<ExitCode>,
}

/// The name that stands for all that CI leaves out.
const ALL: &str = "all";

const PROOFS: &[Proof] = &[
    Proof {
        name: "truth",
        purpose: "delays of 0.25 to 20 µs behind the hook, unknown to the analysis, are not missed in situ or end to end",
        minutes: 2,
        is_in_ci: true,
        run: |_, stages| {
            build::prepare(stages)?;
            truth_twice(stages)
        },
    },
    Proof {
        name: "containers",
        purpose: "the images and the compose file in a Docker engine of Debian's packages: every read of the hooked \
                  server is seen once, and none of the other",
        minutes: 5,
        is_in_ci: true,
        run: |options, stages| containers::prove(options.must_run, stages),
    },
    Proof {
        name: "kernels",
        purpose: "the tests that attach probes, on the kernels between the oldest and the newest, and on arm64",
        minutes: 25,
        is_in_ci: false,
        run: |options, stages| {
            let kernels: Vec<String> = vm::kernels::between().map(str::to_owned).collect();
            vm::run_tests(&kernels, None, options.must_run, stages)
        },
    },
    Proof {
        name: "instructions",
        purpose: "tracing takes no more instructions than the kept figures allow, on every kernel of x86-64",
        minutes: 8,
        is_in_ci: false,
        run: |_, stages| xtask(&["bench-trace", "--instructions", "--check"], stages),
    },
    Proof {
        name: "assertions",
        purpose: "the unit tests in a build in which arithmetic that overflows fails, and debug_assert",
        minutes: 4,
        is_in_ci: false,
        run: |_, stages| {
            stages.run("setup", setup::all)?;
            stages.run("unit tests", test::unit_tests_with_assertions)?;
            Ok(ExitCode::SUCCESS)
        },
    },
    Proof {
        name: "hook-stress",
        purpose: "threads that accept, read, duplicate, fork and close under signals for 60 s, through the hook",
        minutes: 2,
        is_in_ci: false,
        run: |_, stages| {
            build::prepare_with_bench(stages)?;
            stages.run("hook-stress", hook_stress)?;
            Ok(ExitCode::SUCCESS)
        },
    },
    Proof {
        name: "coverage",
        purpose: "60 short runs of one injected delay each: how many macro intervals miss it",
        minutes: 12,
        is_in_ci: false,
        run: |_, stages| {
            build::prepare(stages)?;
            stages.run("60 short runs", || {
                // What a machine adds to long delays is no matter of intervals.
                let series = [
                    "--runs=60",
                    "--requests=20000",
                    "--delays=250,500,1000,2000",
                ];
                truth(&series.map(OsString::from))
            })
        },
    },
    Proof {
        name: "a-a",
        purpose: "two equal servers, 40 short runs: at most 5 false alarms, the paper's t-test beside it; then 40 runs \
                  in the paper's order",
        minutes: 15,
        is_in_ci: false,
        run: |_, stages| {
            build::prepare(stages)?;
            let ours = stages.run("40 runs, rmit", || a_a("rmit"))?;
            let papers = stages.run("40 runs, sequential", || a_a("sequential"))?;
            Ok(worse(ours, papers))
        },
    },
    Proof {
        name: "trial",
        purpose: "40 trials of our hook: width of their intervals, misses of the negative control, verdicts; then seven \
                  delays in one",
        minutes: 20,
        is_in_ci: false,
        run: |_, stages| {
            build::prepare(stages)?;
            stages.run("41 trials", trial_runs::prove)
        },
    },
    Proof {
        name: "hooks",
        purpose: "hooks of others, of Debian's packages, each under three servers: what each costs a request, or why it is refused",
        minutes: 6,
        is_in_ci: false,
        run: |options, stages| hooks::prove(options.must_run, stages),
    },
    Proof {
        name: "servers",
        purpose: "servers of the world by each order of arms: they work, with exact counts and the hook's delay found, or \
                  are refused with the reason",
        minutes: 8,
        is_in_ci: false,
        run: |options, stages| servers::prove(options.must_run, stages),
    },
    Proof {
        name: "slices",
        purpose: "a delay by slices of time at 1 to 256 connections, 20 trials each (--runs), and by whole processes; \
                  the amplification at 30, 60 and 90 % of capacity beside a simulated queue",
        minutes: 90,
        is_in_ci: false,
        run: |options, stages| {
            build::prepare_with_bench(stages)?;
            slices::prove(options.runs, stages)
        },
    },
    Proof {
        name: "kprobe-guest",
        purpose: "the bench with kprobe and kretprobe, from end to end, in a guest with a Debian 6.1 kernel",
        minutes: 4,
        is_in_ci: false,
        run: |_, stages| {
            build::prepare(stages)?;
            vm::kprobe_bench(stages).map(|()| ExitCode::SUCCESS)
        },
    },
    Proof {
        name: "statistics",
        purpose: "how often intervals hold and alarms are false on simulated runs; the table of the bootstrap's coverage",
        minutes: 10,
        is_in_ci: false,
        run: |_, stages| {
            stages.run("statistics", statistics)?;
            Ok(ExitCode::SUCCESS)
        },
    },
    Proof {
        name: "fuzz",
        purpose: "the hook's scanner finds what a naive search finds, and reads no byte too far, for 10 minutes (--minutes)",
        minutes: 12,
        is_in_ci: false,
        run: |options, stages| fuzz(&SCANNER, options.minutes, stages),
    },
    Proof {
        name: "fuzz-responses",
        purpose: "the load generator's reader of responses says the same however they arrive, and what a plain decoder \
                  says, for 10 minutes (--minutes)",
        minutes: 12,
        is_in_ci: false,
        run: |options, stages| fuzz(&RESPONSES, options.minutes, stages),
    },
    Proof {
        name: "fuzz-trial",
        purpose: "a trial's text, salts in requests and records in shared memory are read as plain readers do, for 10 \
                  minutes (--minutes)",
        minutes: 12,
        is_in_ci: false,
        run: |options, stages| fuzz(&TRIAL, options.minutes, stages),
    },
    Proof {
        name: "records-stress",
        purpose: "writers of a trial's records that come and go, are killed, or write nonsense, for a minute each, beside the \
                  agent's reader",
        minutes: 4,
        is_in_ci: false,
        run: |_, stages| {
            stages.run("setup", setup::all)?;
            stages.run("records-stress", records_stress)?;
            Ok(ExitCode::SUCCESS)
        },
    },
    Proof {
        name: "mutations",
        purpose: "what the tests rest on is broken, one thing at a time; a test named beforehand fails",
        minutes: 8,
        is_in_ci: false,
        run: |_, stages| {
            build::prepare_with_bench(stages)?;
            mutations::prove(stages).map(|()| ExitCode::SUCCESS)
        },
    },
];

/// Runs a proof, or all that CI leaves out; without a name, lists them.
pub fn run(
    name: Option<&str>,
    options: ProofOptions,
    stages: &mut Stages,
) -> anyhow::Result<ExitCode> {
    let Some(name) = name else {
        print_list();
        return Ok(ExitCode::SUCCESS);
    };
    if name == ALL {
        return all(options, stages);
    }
    let proof = PROOFS.iter().find(|proof| proof.name == name);
    let proof = proof
        .with_context(|| format!("there is no proof \"{name}\"; `cargo xtask prove` lists them"))?;
    (proof.run)(options, stages)
}

fn print_list() {
    for proof in PROOFS {
        let in_ci = if proof.is_in_ci { ", in CI" } else { "" };
        println!(
            "{:<16} {} ({} min{in_ci})",
            proof.name, proof.purpose, proof.minutes
        );
    }
    let minutes: u32 = left_out().map(|proof| proof.minutes).sum();
    println!("{ALL:<16} all that CI leaves out, one after the other ({minutes} min)");
}

fn left_out() -> impl Iterator<Item = &'static Proof> {
    PROOFS.iter().filter(|proof| !proof.is_in_ci)
}

/// Runs what CI leaves out to its end, whatever fails, and says what failed.
fn all(options: ProofOptions, stages: &mut Stages) -> anyhow::Result<ExitCode> {
    let mut failed = Vec::new();
    for proof in left_out() {
        interrupt::check()?;
        println!("=== prove {}", proof.name);
        match (proof.run)(options, stages) {
            Ok(code) if code == ExitCode::SUCCESS => {}
            Ok(_) => failed.push(proof.name),
            Err(error) => {
                eprintln!("xtask: {error:#}");
                failed.push(proof.name);
            }
        }
    }
    ensure!(failed.is_empty(), "failed: {}", failed.join(", "));
    Ok(ExitCode::SUCCESS)
}

/// Another of our tasks.
fn xtask(words: &[&str], stages: &mut Stages) -> anyhow::Result<ExitCode> {
    stages.run(&words.join(" "), || {
        command::run(command::command(std::env::current_exe()?).args(words))
    })?;
    Ok(ExitCode::SUCCESS)
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

/// The everyday tests, each for a minute rather than for some turns.
fn records_stress() -> anyhow::Result<()> {
    command::run(
        cargo()
            .args(["test", "--quiet"])
            .args(build::SELECTION)
            .args(["--bin", "probe-user", "run::shared_memory::tests::stress"])
            .args(["--", "--nocapture", "--test-threads=1"])
            .env("HOOKPROBE_STRESS_SECONDS", "60"),
    )
}

/// The first exit code that is not success.
pub fn worse(first: ExitCode, second: ExitCode) -> ExitCode {
    if first == ExitCode::SUCCESS {
        second
    } else {
        first
    }
}

fn statistics() -> anyhow::Result<()> {
    let long_ones = [
        ["--package", "stats", "--test", "simulation"].as_slice(),
        &["--package", "verdict", "--lib", "agreement::tests::long"],
    ];
    long_ones.into_iter().try_for_each(|tests| {
        command::run(
            cargo()
                .args(["test", "--quiet", "--release"])
                .args(tests)
                .args(["--", "--include-ignored", "--nocapture", "--test-threads=1"]),
        )
    })
}

/// A delay that is missed may be chance, or the machine's host has something else to do for a second: then a second run, of
/// twice the requests, must not miss any. What a noisy machine hides is said, and no failure of ours.
fn truth_twice(stages: &mut Stages) -> anyhow::Result<ExitCode> {
    for (stage, more) in [
        ("truth", [].as_slice()),
        ("truth, once more", &["--requests=40000"]),
    ] {
        let folder = command::run_folder("truth")?;
        let mut words = vec![OsString::from("--out"), folder.clone().into()];
        words.extend(more.iter().map(OsString::from));
        let code = stages.run(stage, || truth(&words))?;
        if code != ExitCode::from(NOT_USABLE) {
            return Ok(code);
        }
        if could_not_see(&fs::read_to_string(folder.join("truth.json"))?)? {
            println!("this run missed nothing; what the machine hides is listed above");
            return Ok(ExitCode::SUCCESS);
        }
    }
    Ok(ExitCode::from(NOT_USABLE))
}

/// Whether that is all that speaks against a run.
fn could_not_see(truth: &str) -> anyhow::Result<bool> {
    #[derive(Deserialize)]
    struct Truth {
        finding: String,
        not_usable: Vec<String>,
    }
    let truth: Truth = serde_json::from_str(truth).context("truth.json")?;
    Ok(truth.finding == "unresolved" && truth.not_usable.is_empty())
}

/// Delays behind the hook, in one trial or, with `--runs`, in many short ones.
pub fn truth(arguments: &[OsString]) -> anyhow::Result<ExitCode> {
    probe_user("validate", &["truth"], arguments)
}

/// Short runs of two equal servers.
fn a_a(order: &str) -> anyhow::Result<ExitCode> {
    let order = format!("--order={order}");
    let check = [
        "a-a",
        "--runs=40",
        "--requests=20000",
        "--blocks=96",
        "--block-warmup=30",
        &order,
    ];
    probe_user("validate", &check, &[])
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::command::root;

    #[test]
    fn what_a_machine_hides_is_told_from_what_was_missed() {
        let of = |finding, not_usable| {
            could_not_see(&format!(
                r#"{{"finding": "{finding}", "not_usable": [{not_usable}], "holds": false}}"#
            ))
        };
        assert!(of("unresolved", "").unwrap());
        assert!(!of("missed", "").unwrap());
        assert!(!of("unresolved", r#""a request failed""#).unwrap());
        assert!(could_not_see("{}").is_err());
    }

    /// What CI leaves out is nowhere else to be seen.
    #[test]
    fn contributing_lists_each_proof_with_its_minutes() {
        let text = fs::read_to_string(root().join("CONTRIBUTING.md")).unwrap();
        let rows = text.lines().filter(|line| line.starts_with("| `"));
        let listed: BTreeSet<_> = rows
            .filter_map(|row| {
                let mut cells = row.split('|').map(str::trim).skip(1);
                let name = cells.next()?.trim_matches('`');
                let proof = PROOFS.iter().find(|proof| proof.name == name)?;
                let minutes = cells.nth(1)?;
                Some((proof.name, minutes.to_owned()))
            })
            .collect();
        let ours = PROOFS
            .iter()
            .map(|proof| (proof.name, proof.minutes.to_string()));
        assert_eq!(listed, ours.collect());
    }
}

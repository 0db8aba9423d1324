//! The long proofs, by name.

use std::ffi::OsString;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::bail;

use crate::build;
use crate::command::Stages;
use crate::fuzz;
use crate::mutations;
use crate::privilege::probe_user;
use crate::vm;

/// Name and purpose of each proof.
const PROOFS: [(&str, &str); 4] = [
    (
        "truth",
        "delays of 1, 10 and 100 µs that the hook injects are found in situ and end to end",
    ),
    (
        "kprobe-guest",
        "the bench with kprobe and kretprobe, from end to end, in a guest with a Debian 6.1 kernel",
    ),
    (
        "fuzz",
        "the hook's scanner finds what a naive search finds, and reads no byte too far, for 10 minutes (--minutes)",
    ),
    (
        "mutations",
        "what the tests rest on is broken, one thing at a time; a test named beforehand fails",
    ),
];

/// Runs a proof; without a name, lists them.
pub fn run(name: Option<&str>, minutes: u64, stages: &mut Stages) -> anyhow::Result<ExitCode> {
    match name {
        None => {
            for (name, purpose) in PROOFS {
                println!("{name:<16} {purpose}");
            }
            Ok(ExitCode::SUCCESS)
        }
        Some("truth") => {
            build::prepare(stages)?;
            stages.run("truth", || truth(&[]))
        }
        Some("kprobe-guest") => {
            build::prepare(stages)?;
            vm::kprobe_bench(stages).map(|()| ExitCode::SUCCESS)
        }
        Some("fuzz") => {
            let time = Duration::from_secs(60 * minutes);
            fuzz::fuzz(time, stages).map(|()| ExitCode::SUCCESS)
        }
        Some("mutations") => {
            build::prepare(stages)?;
            mutations::prove(stages).map(|()| ExitCode::SUCCESS)
        }
        Some(other) => bail!("there is no proof \"{other}\"; `cargo xtask prove` lists them"),
    }
}

/// Short blocks keep the arms close in time, so that what else the machine does falls on all alike.
/// Options given twice count as given last.
pub fn truth(arguments: &[OsString]) -> anyhow::Result<ExitCode> {
    let defaults = ["--requests=60000", "--blocks=300", "--block-warmup=30"];
    probe_user("truth", &defaults, arguments)
}

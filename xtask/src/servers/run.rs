//! A short `bench` of a server.

use std::ffi::OsString;
use std::process::Output;

use anyhow::Context as _;

use crate::command::{release, run_folder};
use crate::privilege::as_root;
use crate::servers::set_up::Programs;
use crate::servers::table::{Arms, Expected, Mode, Server};

/// What the hook waits in each call that has read something.
pub const DELAY_NS: u32 = 200_000;

/// Seconds after which a run hangs.
const PATIENCE: &str = "180";

/// Runs it, in the folder of the servers.
pub fn bench(
    server: &Server,
    mode: &Mode,
    expected: Expected,
    programs: &Programs,
) -> anyhow::Result<Output> {
    let mut bench = as_root("timeout");
    bench
        .args(["--signal=KILL", PATIENCE])
        .arg(release().join("probe-user"))
        .args(["bench", "--json"])
        .args(layout(mode.arms, expected))
        .args([
            "--micro-calls=20",
            "--micro-cold-calls=0",
            "--calibration-rounds=0",
        ])
        .args((!mode.has_probes).then_some("--no-probes"))
        .args([
            "--hook-env",
            "READHOOK_FUNCTIONS=read,recv,recvfrom,recvmsg,readv",
        ])
        .arg("--hook-env")
        .arg(format!("READHOOK_DELAY_NS={DELAY_NS}"))
        .arg("--out")
        .arg(run_folder("servers/run")?)
        .arg("--")
        .args(server.command.iter().map(|word| with_venv(word, programs)))
        .current_dir(&programs.folder);
    bench
        .output()
        .with_context(|| format!("cannot start {bench:?}"))
}

fn layout(arms: Arms, expected: Expected) -> Vec<&'static str> {
    const SHORT: [&str; 5] = [
        "--servers=3",
        "--requests=1200",
        "--blocks=9",
        "--warmup=150",
        "--block-warmup=5",
    ];
    match (arms, expected) {
        (Arms::Trial, _) => [&SHORT[..], &["--order=trial"]].concat(),
        (Arms::Rmit, _) => [&SHORT[..], &["--order=rmit"]].concat(),
        (Arms::Slices, Expected::WorksUnder(load, _)) => vec!["--slice=20ms", "--load", load],
        (Arms::Slices, _) => vec!["--slice=auto", "--duration=4", "--servers=1"],
    }
}

fn with_venv(word: &str, programs: &Programs) -> OsString {
    match word.strip_prefix("{venv}/") {
        Some(program) => programs.venv.join("bin").join(program).into(),
        None => word.into(),
    }
}

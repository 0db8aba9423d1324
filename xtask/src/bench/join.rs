//! What joining and analysing a long run takes: `cargo xtask bench-join`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use clap::Args;

use crate::build;
use crate::command::{Stages, cargo, output, release, target};

/// The most memory that the join may take.
const MOST_MEMORY_MIB: u64 = 500;
/// The longest that it may take with `--check`.
const LONGEST: Duration = Duration::from_mins(1);

/// Options of `bench-join`.
#[derive(Args, Debug)]
pub struct BenchJoinArguments {
    /// Requests to join; each has four reads and a write
    #[arg(long, default_value_t = 2_000_000, value_name = "N")]
    requests: u64,

    /// Blocks that they are divided into
    #[arg(long, default_value_t = 100, value_name = "B")]
    blocks: u64,

    /// Connections at a time
    #[arg(long, default_value_t = 1, value_name = "C")]
    connections: u64,

    /// Fail if it takes more than a minute, too
    #[arg(long)]
    check: bool,
}

/// Makes a run up, joins and analyses it, and says what that took. Too much memory is a failure.
pub fn bench_join(arguments: &BenchJoinArguments, stages: &mut Stages) -> anyhow::Result<ExitCode> {
    build::prepare(stages)?;
    let folder = target().join("bench-join");
    let spans = stages.run("making a run up", || make_up(arguments, &folder))?;
    let measured = stages.run("join and analysis", || {
        let mut command = Command::new(release().join("probe-user"));
        command.arg("correlate").arg("--json").arg(&folder);
        measure(&mut command)
    });
    let _ = fs::remove_dir_all(&folder);
    let Measured {
        took,
        memory_mib,
        printed,
    } = measured?;
    let join = &printed["join"];
    println!(
        "{spans} spans, {} requests, {} matched: {:.1} s, {memory_mib} MiB at most",
        join["requests"],
        join["matched"],
        took.as_secs_f64()
    );
    let all = arguments.requests / arguments.blocks / arguments.connections
        * arguments.connections
        * arguments.blocks;
    ensure!(
        join["matched"] == all,
        "not all of {all} were matched: {join}"
    );
    ensure!(
        memory_mib <= MOST_MEMORY_MIB,
        "it took more than {MOST_MEMORY_MIB} MiB"
    );
    ensure!(
        !arguments.check || took <= LONGEST,
        "it took more than {} s",
        LONGEST.as_secs()
    );
    Ok(ExitCode::SUCCESS)
}

/// Writes the run; returns how many spans it has.
fn make_up(arguments: &BenchJoinArguments, folder: &Path) -> anyhow::Result<u64> {
    if folder.exists() {
        fs::remove_dir_all(folder)?;
    }
    let BenchJoinArguments {
        requests,
        blocks,
        connections,
        ..
    } = arguments;
    let mut command = cargo();
    command
        .args(["run", "--quiet", "--release", "--package", "runlog"])
        .args(["--example", "synthetic_run", "--"])
        .arg(folder)
        .args([requests, blocks, connections].map(ToString::to_string));
    let said = String::from_utf8(output(&mut command)?.stdout)?;
    said.trim()
        .parse()
        .with_context(|| format!("the program that makes runs up said \"{said}\""))
}

struct Measured {
    took: Duration,
    memory_mib: u64,
    printed: serde_json::Value,
}

/// Runs a command, and watches the most memory that it has had resident.
fn measure(command: &mut Command) -> anyhow::Result<Measured> {
    let start = Instant::now();
    let mut child = command
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start {command:?}"))?;
    let status = PathBuf::from(format!("/proc/{}/status", child.id()));
    let mut most_kib = 0;
    while is_running(&mut child)? {
        // The kernel keeps the maximum; only what came after the last look is missed.
        most_kib = most_kib.max(peak_kib(&status).unwrap_or(0));
        thread::sleep(Duration::from_millis(5));
    }
    let took = start.elapsed();
    let output = child.wait_with_output()?;
    ensure!(output.status.success(), "{command:?}: {}", output.status);
    Ok(Measured {
        took,
        memory_mib: most_kib / 1024,
        printed: serde_json::from_slice(&output.stdout)?,
    })
}

fn is_running(child: &mut Child) -> anyhow::Result<bool> {
    Ok(child.try_wait()?.is_none())
}

fn peak_kib(status: &Path) -> Option<u64> {
    let text = fs::read_to_string(status).ok()?;
    let line = text.lines().find(|line| line.starts_with("VmHWM:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

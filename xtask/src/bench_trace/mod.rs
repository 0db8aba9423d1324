//! `cargo xtask bench-trace`: what tracing adds to a read, on this machine in ns, and on the kernels of
//! the matrix in instructions.

mod figures;
mod guests;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use clap::Args;

use crate::bench_trace::figures::{Figures, compare};
use crate::command::{Stages, cargo, is_installed, release, root, run};
use crate::privilege::{Privilege, as_root, privilege};
use crate::{build, setup};

/// Other tools that are measured beside ours, and the Debian packages that have them.
const PEERS: [(&str, &str); 2] = [("bpftrace", "bpftrace"), ("funclatency", "libbpf-tools")];

/// Options of `bench-trace`.
#[derive(Args, Debug)]
pub struct BenchTraceArguments {
    /// Count the instructions that tracing adds, on each kernel of the matrix, in virtual machines (QEMU)
    #[arg(long)]
    instructions: bool,

    /// With --instructions: fail where a figure is more than 5 % above the one kept in the repository
    #[arg(long, requires = "instructions", conflicts_with_all = ["update", "kernel"])]
    check: bool,

    /// With --instructions: keep the figures in the repository
    #[arg(long, requires = "instructions")]
    update: bool,

    /// With --instructions: kernels by name, as 6.1; repeat for more [default: all]
    #[arg(long, value_name = "KERNEL", requires = "instructions")]
    kernel: Vec<String>,

    /// Rounds; in each, every observer is attached and detached once
    #[arg(long, value_name = "N")]
    rounds: Option<u32>,

    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

/// Builds, and measures.
pub fn bench_trace(
    arguments: &BenchTraceArguments,
    stages: &mut Stages,
) -> anyhow::Result<ExitCode> {
    build::prepare(stages)?;
    stages.run("build of the bench", build_bench)?;
    if arguments.instructions {
        return instructions(arguments, stages);
    }
    if privilege() == Privilege::None {
        bail!("probes need root: run as root, or install sudo");
    }
    stages.run("peers", || {
        let missing: Vec<&str> = PEERS
            .iter()
            .filter(|(program, _)| !is_installed(program))
            .map(|(_, package)| *package)
            .collect();
        setup::install_packages(&missing);
        Ok(())
    })?;
    stages.run("bench-trace", || {
        let status = as_root(release().join("trace-bench"))
            .args(words(arguments))
            .status()
            .context("cannot start trace-bench")?;
        let code = status.code().and_then(|code| u8::try_from(code).ok());
        Ok(ExitCode::from(code.unwrap_or(1)))
    })
}

fn build_bench() -> anyhow::Result<()> {
    run(cargo().args(["build", "--release", "--package", "trace-bench"]))
}

/// The options that are handed on.
fn words(arguments: &BenchTraceArguments) -> Vec<OsString> {
    let mut words = Vec::new();
    if let Some(rounds) = arguments.rounds {
        words.extend(["--rounds".into(), rounds.to_string().into()]);
    }
    if arguments.json {
        words.push("--json".into());
    }
    words
}

fn instructions(arguments: &BenchTraceArguments, stages: &mut Stages) -> anyhow::Result<ExitCode> {
    let found = guests::count(&arguments.kernel, stages)?;
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&found)?);
    } else {
        print!("{found}");
    }
    let above: Vec<String> = found.above_the_bare_pair();
    for line in &above {
        println!("ABOVE THE BARE PAIR: {line}");
    }
    if arguments.update {
        let mut kept = Figures::read(&path()).unwrap_or_default();
        kept.replace(found);
        kept.write(&path())?;
        return Ok(ExitCode::SUCCESS);
    }
    if arguments.check {
        let kept = Figures::read(&path())?;
        let faults = compare(&kept, &found);
        for fault in &faults {
            println!("FAILED: {fault}");
        }
        if !faults.is_empty() {
            bail!(
                "tracing takes more instructions than the figures in {} allow; if that is meant, \
                 `cargo xtask bench-trace --instructions --update` keeps the new ones",
                path().strip_prefix(root()).unwrap_or(&path()).display()
            );
        }
        // Where ours take more than the bare pair, the kept figures say so already.
        return Ok(ExitCode::SUCCESS);
    }
    Ok(ExitCode::from(u8::from(!above.is_empty())))
}

/// Where the figures are kept.
fn path() -> PathBuf {
    root().join("xtask/figures/bench-trace-instructions.json")
}

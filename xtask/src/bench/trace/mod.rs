//! `cargo xtask bench-trace`: what tracing adds to a read, on this machine in ns, and on the kernels of
//! the matrix in instructions.

mod figures;
mod guests;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::bail;
use clap::Args;

use self::figures::{Figures, compare};
use crate::bench::{install, measure, needs_root};
use crate::build;
use crate::command::{Stages, root};

/// Other tools that are measured beside ours, and the Debian packages that have them.
const PEERS: [(&str, &str); 2] = [("bpftrace", "bpftrace"), ("funclatency", "libbpf-tools")];

/// Options of `bench-trace`.
#[derive(Args, Debug)]
pub struct BenchTraceArguments {
    /// Count the instructions that tracing adds, on each kernel of the matrix, in virtual machines (QEMU)
    #[arg(long)]
    instructions: bool,

    /// With --instructions: fail where a figure is more than 5 % above the one kept in the repository
    #[arg(long, requires = "instructions", conflicts_with = "update")]
    check: bool,

    /// With --instructions: keep the figures in the repository
    #[arg(long, requires = "instructions")]
    update: bool,

    /// With --instructions: kernels by name, as 6.1, `oldest` or `newest`; repeat for more [default: all]
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
    build::prepare_with_bench(stages)?;
    if arguments.instructions {
        return instructions(arguments, stages);
    }
    needs_root()?;
    stages.run("peers", || {
        install(&PEERS);
        Ok(())
    })?;
    let mut words: Vec<OsString> = Vec::new();
    if let Some(rounds) = arguments.rounds {
        words.extend(["--rounds".into(), rounds.to_string().into()]);
    }
    if arguments.json {
        words.push("--json".into());
    }
    measure("trace", &words, stages)
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
        let mut kept = Figures::read(&path())?;
        if !arguments.kernel.is_empty() {
            kept.retain_kernels_of(&found);
        }
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

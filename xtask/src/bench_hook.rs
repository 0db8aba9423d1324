//! `cargo xtask bench-hook`: what the hook adds to a read, in ns and in instructions, beside no hook and
//! beside the paper's.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, ensure};
use clap::Args;

use crate::build::HOOK;
use crate::command::{Stages, cargo, command, is_installed, root, run, target};
use crate::{bench, build};

/// What it takes beside ours, and the Debian packages that have it.
const COMPILER: (&str, &str) = ("cc", "gcc");
const TRACER: (&str, &str) = ("bpftrace", "bpftrace");
const COUNTER: (&str, &str) = ("valgrind", "valgrind");

/// Options of `bench-hook`.
#[derive(Args, Debug)]
pub struct BenchHookArguments {
    /// Count the instructions that the hook adds, by callgrind (valgrind), those of the probe sites apart
    #[arg(long)]
    instructions: bool,

    /// Rounds; in each, every case is measured once, in a new process
    #[arg(long, value_name = "N")]
    rounds: Option<u32>,

    /// Measure just the cases whose name contains this word; repeat for more
    #[arg(long, value_name = "WORD")]
    only: Vec<String>,

    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

/// Builds, and measures.
pub fn bench_hook(arguments: &BenchHookArguments, stages: &mut Stages) -> anyhow::Result<ExitCode> {
    build::prepare(stages)?;
    stages.run("peers", || {
        let wanted = [
            COMPILER,
            if arguments.instructions {
                COUNTER
            } else {
                TRACER
            },
        ];
        bench::install(&wanted);
        Ok(())
    })?;
    bench::build("hook-bench", stages)?;
    let peer = stages.run("build of the paper's hook", build_peer)?;
    let mut words = bench::words(arguments.rounds, arguments.json);
    words.extend(["--peer".into(), peer.into()]);
    for word in &arguments.only {
        words.extend(["--only".into(), word.into()]);
    }
    if arguments.instructions {
        ensure!(
            is_installed(COUNTER.0),
            "--instructions needs valgrind, which cannot be installed here"
        );
        let siteless = stages.run("build of the hook without sites", build_without_sites)?;
        words.extend(["--instructions".into(), "--without-sites".into()]);
        words.push(siteless.into());
    }
    // As root for the tracers; without, the cases with a tracer are left out by name.
    stages.run("bench-hook", || bench::measure("hook-bench", &words))
}

/// Compiles the paper's hook, into a folder that nothing is shipped from.
fn build_peer() -> anyhow::Result<PathBuf> {
    let folder = target().join("peers");
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let library = folder.join("paper_hook.so");
    let keywords = root().join("hook/keywords.txt");
    let source = root().join("hook/peers/paper_hook.c");
    ensure!(
        is_installed(COMPILER.0),
        "a C compiler is needed for the paper's hook, and cannot be installed here"
    );
    run(command(COMPILER.0)
        .args(["-O2", "-shared", "-fPIC", "-o"])
        .arg(&library)
        .arg(format!("-DKEYWORDS=\"{}\"", keywords.display()))
        .arg(&source)
        .arg("-ldl"))?;
    Ok(library)
}

/// Builds our hook with the probe sites left out, beside the real one.
fn build_without_sites() -> anyhow::Result<PathBuf> {
    let folder: PathBuf = target().join("hook-without-sites");
    run(cargo()
        .arg("build")
        .args(HOOK)
        .args(["--features", "without-sites"])
        .env("CARGO_TARGET_DIR", &folder))?;
    Ok(Path::new(&folder).join("hook/libreadhook.so"))
}

//! The benches: they are built, given what they measure beside, and run as root.

mod hook;
mod join;
mod load;
mod trace;

use std::ffi::OsString;
use std::process::ExitCode;

use anyhow::{Context as _, ensure};
use clap::Args;

pub use self::join::{BenchJoinArguments, bench_join};
pub use self::trace::{BenchTraceArguments, bench_trace};
use crate::command::{Stages, is_installed, release};
use crate::privilege::{Privilege, as_root, privilege};
use crate::{build, interrupt, setup};

/// Words for a bench. They are passed on as they are: what is said of them in `main` goes for these too.
#[derive(Args, Debug)]
pub struct BenchWords {
    /// Options of the bench: `target/release/bench hook --help` and the like list them once it is built
    #[arg(
        trailing_var_arg = true,
        allow_hyphen_values = true,
        value_name = "WORD"
    )]
    words: Vec<OsString>,
}

/// `cargo xtask bench-hook`: what the hook adds to a read, beside no hook and beside the paper's.
pub fn bench_hook(words: &[OsString], stages: &mut Stages) -> anyhow::Result<ExitCode> {
    build::prepare_with_bench(stages)?;
    // As root for the tracers; without, the cases with a tracer are left out by name.
    let words = hook::with_peers(words, stages)?;
    measure("hook", &words, stages)
}

/// `cargo xtask bench-load`: our load generator beside others, on nginx on the loopback address.
pub fn bench_load(words: &[OsString], stages: &mut Stages) -> anyhow::Result<ExitCode> {
    build::prepare_with_bench(stages)?;
    // As root for the probes; without, fidelity is left out by name.
    let words = load::with_peers(words, stages)?;
    measure("load", &words, stages)
}

/// `cargo xtask bench-agent`: what the agent takes while many hooked processes of many arms read.
pub fn bench_agent(words: &[OsString], stages: &mut Stages) -> anyhow::Result<ExitCode> {
    build::prepare_with_bench(stages)?;
    needs_root()?;
    measure("agent", words, stages)
}

fn needs_root() -> anyhow::Result<()> {
    ensure!(
        privilege() != Privilege::None,
        "probes need root: run as root, or install sudo"
    );
    Ok(())
}

/// Whether an option is among the words.
fn has(words: &[OsString], option: &str) -> bool {
    words.iter().any(|word| word == option)
}

/// Installs the programs that are not there, by the Debian packages that have them, where that can be done.
fn install(programs: &[(&str, &str)]) {
    let missing: Vec<&str> = programs
        .iter()
        .filter(|(program, _)| !is_installed(program))
        .map(|(_, package)| *package)
        .collect();
    setup::install_packages(&missing);
}

/// Runs a bench, as root where that can be had; passes its exit code on. Ctrl-C is for the bench.
fn measure(bench: &str, words: &[OsString], stages: &mut Stages) -> anyhow::Result<ExitCode> {
    let mut command = as_root(release().join("bench"));
    // "--" would hide the options behind it.
    let words = words.iter().filter(|word| *word != "--");
    command.arg(bench).args(words);
    let status = stages.run(&format!("bench-{bench}"), || {
        interrupt::left_to_the_child(|| command.status())?.context("cannot start the bench")
    })?;
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    Ok(ExitCode::from(code.unwrap_or(1)))
}

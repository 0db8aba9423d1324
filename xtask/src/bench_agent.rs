//! `cargo xtask bench-agent`: what the agent takes while many hooked processes of many arms read.

use std::ffi::OsString;
use std::process::ExitCode;

use anyhow::ensure;
use clap::Args;

use crate::command::Stages;
use crate::privilege::{Privilege, privilege};
use crate::{bench, build};

/// Options of `bench-agent`.
#[derive(Args, Debug)]
pub struct BenchAgentArguments {
    /// Options of agent-bench: `target/release/agent-bench --help` lists them once it is built
    #[arg(
        trailing_var_arg = true,
        allow_hyphen_values = true,
        value_name = "WORD"
    )]
    words: Vec<OsString>,
}

/// Builds, and measures.
pub fn bench_agent(
    arguments: &BenchAgentArguments,
    stages: &mut Stages,
) -> anyhow::Result<ExitCode> {
    build::prepare(stages)?;
    bench::build("agent-bench", stages)?;
    ensure!(
        privilege() != Privilege::None,
        "probes need root: run as root, or install sudo"
    );
    stages.run("bench-agent", || {
        bench::measure("agent-bench", &arguments.words)
    })
}

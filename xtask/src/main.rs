//! `cargo xtask`: the project's commands.
//!
//! Two of them do all the set-up on a fresh machine: `cargo xtask bench` runs the main job,
//! `cargo xtask test` the tests.

mod build;
mod command;
mod privilege;
mod prove;
mod setup;
mod test;
mod vm;

use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};

use crate::command::Stages;

/// The commands of the hookprobe workspace. Without a command, lists them.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    task: Option<Task>,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Set up, build, and measure the hook at three layers; further words go to probe-user bench
    Bench {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Set up, build, and run all everyday tests (at most 30 minutes)
    Test,
    /// Hold delays that the hook injects against what is measured (2 minutes)
    Truth {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Run a long proof by name; without a name, list them
    Prove {
        /// Its name
        name: Option<String>,
    },
    /// Install what is missing to build: rust-src, bpf-linker
    Setup,
    /// Build everything, optimised, into target/release
    Build,
    /// Check formatting and lints of the whole workspace, the eBPF programs too
    Lint,
    /// Write the JSON schemas of the run directory's files to docs/schema
    Schemas,
}

fn main() -> ExitCode {
    let Arguments { task } = Arguments::parse();
    let Some(task) = task else {
        let _ = Arguments::command().print_help();
        return ExitCode::SUCCESS;
    };
    let mut stages = Stages::default();
    let result = run(task, &mut stages);
    stages.print();
    match result {
        Ok(code) => code,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(task: Task, stages: &mut Stages) -> anyhow::Result<ExitCode> {
    match task {
        Task::Bench { arguments } => {
            build::prepare(stages)?;
            stages.run("bench", || privilege::probe_user("bench", &[], &arguments))
        }
        Task::Test => {
            build::prepare(stages)?;
            test::everyday(stages)
        }
        Task::Truth { arguments } => {
            build::prepare(stages)?;
            stages.run("truth", || prove::truth(&arguments))
        }
        Task::Prove { name } => prove::run(name.as_deref(), stages),
        Task::Setup => stages.run("setup", setup::all).map(|()| ExitCode::SUCCESS),
        Task::Build => build::prepare(stages).map(|()| ExitCode::SUCCESS),
        Task::Lint => {
            build::prepare(stages)?;
            test::lint(stages).map(|()| ExitCode::SUCCESS)
        }
        Task::Schemas => stages
            .run("schemas", build::schemas)
            .map(|()| ExitCode::SUCCESS),
    }
}

//! `cargo xtask`: the project's commands.
//!
//! Two of them do all the set-up on a fresh machine: `cargo xtask bench` runs the main job,
//! `cargo xtask test` the tests.

mod apt;
#[cfg(test)]
mod architecture;
mod bench;
mod build;
mod check_hook;
mod command;
mod containers;
mod deploy_tools;
#[cfg(test)]
mod environment_tests;
mod fuzz;
mod hooks;
mod interrupt;
mod libcs;
mod man;
mod mutations;
mod package;
mod privilege;
mod prove;
mod results;
mod series;
mod servers;
mod setup;
mod slices;
mod test;
mod trial_runs;
mod vm;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::builder::FalseyValueParser;
use clap::{Args, CommandFactory as _, Parser, Subcommand};

use crate::bench::{BenchJoinArguments, BenchTraceArguments, BenchWords};
use crate::command::Stages;
use crate::man::ManArguments;
use crate::package::PackageArguments;
use crate::prove::ProofOptions;
use crate::test::TestArguments;

/// The commands of the hookprobe workspace. Without a command, lists them.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    task: Option<Task>,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Set up, build, and measure the hook at three layers
    ///
    /// Further words go to probe-user bench.
    #[command(after_help = "\
Examples:
  cargo xtask bench --requests 100000
  cargo xtask bench -- java Server.java {port}

Once built, `target/release/probe-user bench --help` lists the options.")]
    Bench(Words),
    /// Set up, build, and run all everyday tests (at most 12 minutes)
    Test(TestArguments),
    /// Hold injected delays against what is measured (2 minutes)
    ///
    /// Further words go to probe-user validate truth.
    #[command(
        after_help = "Once built, `target/release/probe-user validate truth --help` lists the options."
    )]
    Truth(Words),
    /// Run the tests that attach probes on other kernels, in QEMU
    ///
    /// Shows which attach type works on which kernel.
    Vm {
        /// Kernels by name, as 6.1, `oldest` or `newest`; without any, all of them
        #[arg(value_name = "KERNEL")]
        kernels: Vec<String>,

        /// Run only tests whose names contain this, as `leaks::`
        #[arg(long, value_name = "FILTER")]
        test: Option<String>,

        /// Fail where a kernel or QEMU cannot be had, rather than skip the kernel [default in CI]
        #[arg(long, env = "CI", value_parser = FalseyValueParser::new())]
        must_run: bool,
    },
    /// Measure what our probes and other tools add to a read (5 minutes)
    BenchTrace(BenchTraceArguments),
    /// Measure what joining and analysing a long made-up run takes
    ///
    /// That is seconds, and memory, which has a limit.
    BenchJoin(BenchJoinArguments),
    /// Measure what the agent takes with 200 processes (1 minute)
    ///
    /// They are hooked, are in 20 arms, and read 50,000 times a second. Further words go to `bench agent`.
    BenchAgent(BenchWords),
    /// Measure what our hook and the paper's add to a read (3 minutes)
    ///
    /// With --instructions, those are counted by callgrind (valgrind), those of the probe sites apart. Further words go to
    /// `bench hook`.
    BenchHook(BenchWords),
    /// Measure loadgen beside wrk, oha and Locust (10 minutes)
    ///
    /// How fast each is, and how true its latencies are. Further words go to `bench load`.
    BenchLoad(BenchWords),
    /// Read the hook's files: do they load under every C library?
    ///
    /// The hook's and the bracket's. And do they keep what they must? Imports, exports, relocations, stack and probe sites are looked at.
    CheckHook {
        /// The file of a hook [default: readhook.so, front.so and back.so in target/release, which are built first]
        #[arg(value_name = "FILE")]
        hook: Option<PathBuf>,
    },
    /// Run a long proof by name; without a name, list them
    ///
    /// `all` are those that CI leaves out.
    Prove {
        /// Its name, or `all`
        name: Option<String>,

        #[command(flatten)]
        options: ProofOptions,
    },
    /// Build what the container images hold, into a folder
    ///
    /// The files have no symbols. The folder is a build context for the images.
    Package(PackageArguments),
    /// Install what is missing to build: rust-src, bpf-linker
    Setup,
    /// Build everything, optimised, into target/release
    Build,
    /// Check formatting and lints, of the eBPF programs too
    Lint,
    /// Measure this machine for docs/results (5 minutes)
    ///
    /// Writes the run's report, plots, tables and figures there anew. Further words go to probe-user bench.
    Results(Words),
    /// Write the JSON schemas of a run's files to docs/schema
    Schemas,
    /// Write manual pages and shell completions of the programs
    Man(ManArguments),
}

/// Words for another program. clap only accepts and explains them: it would take a "--" away that is
/// meant for the other program, so what is passed on comes from [`words_after_task`].
#[derive(Debug, Args)]
struct Words {
    /// Options of probe-user, then `--` and the server's command
    #[arg(
        trailing_var_arg = true,
        allow_hyphen_values = true,
        value_name = "WORD"
    )]
    words: Vec<OsString>,
}

/// What follows the task on the command line, unchanged. Nothing but the program's own name comes
/// before a task that takes words.
fn words_after_task(command_line: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    command_line.into_iter().skip(2).collect()
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
    let words = words_after_task(std::env::args_os());
    match task {
        Task::Bench(_) => {
            build::prepare(stages)?;
            stages.run("bench", || {
                privilege::probe_user("bench", &["--ladder"], &words)
            })
        }
        Task::Test(arguments) => test::everyday(&arguments, stages),
        Task::Truth(_) => {
            build::prepare(stages)?;
            stages.run("truth", || prove::truth(&words))
        }
        Task::Vm {
            kernels,
            test,
            must_run,
        } => vm::run_tests(&kernels, test.as_deref(), must_run, stages),
        Task::BenchAgent(_) => bench::bench_agent(&words, stages),
        Task::BenchTrace(arguments) => bench::bench_trace(&arguments, stages),
        Task::BenchJoin(arguments) => bench::bench_join(&arguments, stages),
        Task::BenchLoad(_) => bench::bench_load(&words, stages),
        Task::BenchHook(_) => bench::bench_hook(&words, stages),
        Task::Prove { name, options } => prove::run(name.as_deref(), options, stages),
        Task::Package(arguments) => {
            package::package(&arguments, stages).map(|()| ExitCode::SUCCESS)
        }
        Task::CheckHook { hook } => {
            match hook {
                Some(hook) => check_hook::check(&hook, "readhook")?,
                None => check_hook::check_all(&build::hook(stages)?)?,
            }
            Ok(ExitCode::SUCCESS)
        }
        Task::Setup => stages.run("setup", setup::all).map(|()| ExitCode::SUCCESS),
        Task::Build => build::prepare_with_bench(stages).map(|()| ExitCode::SUCCESS),
        Task::Lint => {
            build::prepare(stages)?;
            test::lint(stages).map(|()| ExitCode::SUCCESS)
        }
        Task::Man(arguments) => man::man(&arguments, stages).map(|()| ExitCode::SUCCESS),
        Task::Results(_) => {
            build::prepare(stages)?;
            results::results(&words, stages)
        }
        Task::Schemas => stages
            .run("schemas", build::schemas)
            .map(|()| ExitCode::SUCCESS),
    }
}

#[cfg(test)]
mod tests;

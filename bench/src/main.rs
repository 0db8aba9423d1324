//! The benches: what our programs take and add, beside others that do the same.
//!
//! [`hook`] measures what the hook adds to a read, [`trace`] what tracing adds, [`load`] how fast the load generator is
//! and how true its latencies are, [`agent`] what the agent takes. They share the rest: [`children`] starts programs so
//! that signals and CPUs reach them as meant, [`running`] keeps one that observes, [`observer`] lists those that do,
//! [`worker`] keeps a program that takes orders, [`rounds`] interleaves, [`estimate`] has means with their intervals and
//! the verdicts on them, [`result`] shows what was found.

mod agent;
mod children;
mod estimate;
mod hook;
mod load;
mod machine;
mod observer;
mod result;
mod rounds;
mod running;
mod table;
mod trace;
mod worker;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Measures our programs beside others that do the same.
#[derive(Debug, Parser)]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Measure what the hook adds to a read, beside no hook and beside the paper's
    Hook(hook::Arguments),
    /// Measure what tracing adds to a read, of our probes and of others'
    Trace(trace::Arguments),
    /// Measure our load generator beside others: speed, and how true its latencies are
    Load(load::Arguments),
    /// Measure what the agent takes while many hooked processes of many arms read
    Agent(agent::Arguments),
    /// The process whose reads `hook` times
    #[command(hide = true)]
    HookWorker(hook::WorkerArguments),
    /// The process whose calls `trace` times
    #[command(hide = true)]
    TraceWorker {
        /// The CPU to run on
        #[arg(long)]
        cpu: Option<usize>,
    },
}

fn main() -> ExitCode {
    let result = match Arguments::parse().task {
        Task::Hook(arguments) => hook::measure(&arguments),
        Task::Trace(arguments) => trace::measure(&arguments),
        Task::Load(arguments) => load::measure(&arguments),
        Task::Agent(arguments) => agent::measure(&arguments),
        Task::HookWorker(arguments) => hook::work(&arguments).map(|()| ExitCode::SUCCESS),
        Task::TraceWorker { cpu } => trace::work(cpu).map(|()| ExitCode::SUCCESS),
    };
    result.unwrap_or_else(|error| {
        eprintln!("bench: {error:#}");
        ExitCode::FAILURE
    })
}

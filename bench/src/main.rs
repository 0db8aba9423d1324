//! The benches: what our programs take and add, beside others that do the same.
//!
//! [`hook`] measures what the hook adds to a read, [`trace`] what tracing adds, [`load`] how fast the load generator is
//! and how true its latencies are, [`agent`] what the agent takes. [`queue`] simulates what a delay costs under load. They share the rest: [`children`] starts programs so
//! that signals and CPUs reach them as meant, [`kernel`] attaches the benches' own probes, [`running`] keeps one that observes, [`observer`] lists those that do,
//! [`worker`] keeps a program that takes orders, [`rounds`] interleaves, [`estimate`] has means with their intervals and
//! the verdicts on them, [`result`] shows what was found.

mod agent;
mod children;
mod estimate;
mod hook;
mod kernel;
mod load;
mod machine;
mod observer;
mod queue;
mod result;
mod rounds;
mod running;
mod table;
mod trace;
mod worker;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::kernel::{bare, histogram, round_trips};

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
    /// Simulate what a delay costs the mean response time in an open loop, with the service times of a run by slices
    Queue(queue::Arguments),
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
    /// Probes that do nothing, for `trace`
    #[command(hide = true)]
    Bare(bare::Arguments),
    /// Time a client's requests at its own sockets, for `load`
    #[command(hide = true)]
    RoundTrips(round_trips::Arguments),
    /// Which buckets the kernel puts the values on stdin into, for tests
    #[command(hide = true)]
    KernelHistogram,
}

fn main() -> ExitCode {
    run(Arguments::parse().task).unwrap_or_else(|error| {
        eprintln!("bench: {error:#}");
        ExitCode::FAILURE
    })
}

fn run(task: Task) -> anyhow::Result<ExitCode> {
    match task {
        Task::Hook(arguments) => return hook::measure(&arguments),
        Task::Trace(arguments) => return trace::measure(&arguments),
        Task::Load(arguments) => return load::measure(&arguments),
        Task::Agent(arguments) => return agent::measure(&arguments),
        Task::Queue(arguments) => queue::run(&arguments),
        Task::HookWorker(arguments) => hook::work(&arguments),
        Task::TraceWorker { cpu } => trace::work(cpu),
        Task::Bare(arguments) => bare::run(&arguments),
        Task::RoundTrips(arguments) => round_trips::run(arguments),
        Task::KernelHistogram => histogram::run(),
    }?;
    Ok(ExitCode::SUCCESS)
}

//! Tests of the built programs on real processes: `cargo xtask test` builds the programs and runs
//! them.
//!
//! Tests that attach probes need root. Without it they are skipped by name, and so are tests whose
//! peer (a Java compiler, redis) is not installed; `--deny-skips` makes a skip a failure. `--probing` takes
//! those alone that probe and need no peer, which is what `cargo xtask vm` runs on other kernels.

#[macro_use]
mod ensure;

mod agent;
mod analyze;
mod attach_types;
mod bad_input;
mod bench;
mod bracket;
mod calibration;
mod cdp;
mod coverage;
mod deploy;
mod docs;
mod doctor;
mod durations;
mod events;
mod failures;
mod family;
mod figures;
mod foreign_clients;
mod function;
mod header;
mod help;
mod histograms;
mod hook;
mod http;
mod install;
mod join;
mod kit;
mod leaks;
mod limits;
mod live;
mod loadgen;
mod manual;
mod merge;
mod micro;
mod missed;
mod old_runs;
mod orders;
mod other_hooks;
mod pacing;
mod page;
mod portable;
mod ports;
mod programs;
mod rare_cost;
mod reader;
mod repeated;
mod report;
mod round_trips;
mod safety;
mod scripted;
mod sequence_log;
mod serve;
mod skips;
mod slices;
mod sockets;
mod sut;
mod trace;
mod trace_event;
mod trial_bench;
mod trial_ends;
mod trial_load;
mod trial_refusals;
mod trial_servers;
mod tutorial;
mod unprivileged;
mod wire;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use libtest_mimic::Trial;

use crate::durations::Durations;
use crate::kit::{Around, Kit};
use crate::skips::{Group, Need, Skips};

/// A test.
#[derive(Debug)]
pub struct Test {
    /// Its name.
    pub name: &'static str,
    /// What it cannot do without.
    pub needs: &'static [Need],
    /// The test.
    pub run: fn(&Kit) -> anyhow::Result<()>,
}

#[derive(Parser)]
struct Options {
    /// Folder with the built programs
    #[arg(long, default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/../target/release"))]
    programs: PathBuf,

    /// Fail when a test is skipped
    #[arg(long)]
    deny_skips: bool,

    /// Run the tests that attach probes and need no program but ours
    #[arg(long)]
    probing: bool,

    /// Repeat less: everything takes ten times as long here
    #[arg(long)]
    emulated: bool,

    /// Run the tests that may run at the same time, or those that must not
    #[arg(long)]
    group: Option<Group>,

    /// Run the tests that fail, for the test of what is then said
    #[arg(long, hide = true)]
    failing: bool,

    /// Write stdin to this file and make it a program, for the tests
    #[arg(long, hide = true)]
    install: Option<PathBuf>,

    #[command(flatten)]
    harness: libtest_mimic::Arguments,
}

/// All tests, module by module.
const TESTS: &[&[Test]] = &[
    // These take longest. Begun last, they would keep one thread busy, and the others idle.
    docs::TESTS,
    tutorial::TESTS,
    calibration::TESTS,
    // In the order of what they are about.
    failures::TESTS,
    install::TESTS,
    help::TESTS,
    manual::TESTS,
    hook::TESTS,
    family::TESTS,
    portable::TESTS,
    safety::TESTS,
    bracket::TESTS,
    programs::TESTS,
    sut::TESTS,
    loadgen::TESTS,
    pacing::TESTS,
    live::TESTS,
    serve::TESTS,
    page::TESTS,
    wire::TESTS,
    trial_load::TESTS,
    bad_input::TESTS,
    analyze::TESTS,
    unprivileged::TESTS,
    doctor::TESTS,
    bench::TESTS,
    trial_bench::TESTS,
    other_hooks::TESTS,
    trial_refusals::TESTS,
    trial_servers::TESTS,
    slices::TESTS,
    rare_cost::TESTS,
    trial_ends::TESTS,
    trial_ends::CUT_OFF,
    report::TESTS,
    old_runs::TESTS,
    join::TESTS,
    orders::TESTS,
    micro::TESTS,
    repeated::TESTS,
    trace::TESTS,
    coverage::TESTS,
    foreign_clients::TESTS,
    function::TESTS,
    events::TESTS,
    header::TESTS,
    histograms::TESTS,
    leaks::TESTS,
    limits::TESTS,
    round_trips::TESTS,
    attach_types::TESTS,
    deploy::TESTS,
    agent::TESTS,
    merge::TESTS,
];

/// What takes kernels that guests have and the machine beneath may not.
const IN_GUESTS: &[&[Test]] = &[missed::IN_GUESTS];

fn main() -> ExitCode {
    failures::note_places();
    let arguments = Options::parse();
    if let Some(path) = &arguments.install {
        return match install::write(path) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => fail(&error),
        };
    }
    let tests = if arguments.failing {
        &[failures::FAILING]
    } else {
        TESTS
    };
    let kit: &'static Kit = match Kit::install(&arguments.programs, arguments.emulated) {
        Ok(kit) => Box::leak(Box::new(kit)),
        Err(error) => return fail(&error),
    };
    let durations: &'static Durations = Box::leak(Box::default());
    let mut skips = Skips::default();
    let around = if arguments.failing {
        Vec::new()
    } else {
        bracket::hook_tests()
    };
    let in_guests = if arguments.emulated { IN_GUESTS } else { &[] };
    let trials = tests
        .iter()
        .chain(in_guests)
        .copied()
        .flatten()
        .map(|test| (test, Around::Nothing))
        .chain(around.iter().map(|(test, around)| (test, *around)))
        .filter(|(test, _)| !arguments.probing || skips::probes_alone(test))
        .filter(|(test, _)| arguments.group.is_none_or(|group| group == Group::of(test)))
        .map(|(test, around)| {
            let skipped = skips.check(test);
            let (name, run) = (test.name, test.run);
            Trial::test(name, move || {
                let result = durations.time(name, || run(&kit.for_test()?.with(around)));
                result.map_err(|error| failures::describe(&error).into())
            })
            .with_ignored_flag(skipped)
        })
        .collect();
    skips.print();
    let conclusion = libtest_mimic::run(&arguments.harness, trials);
    kit.remove();
    durations.print();
    println!(
        "{} passed, {} failed, {} skipped",
        conclusion.num_passed, conclusion.num_failed, conclusion.num_ignored
    );
    if conclusion.has_failed() {
        return ExitCode::FAILURE;
    }
    if arguments.deny_skips && conclusion.num_ignored > skips.excused() {
        eprintln!("system tests: skipping is not allowed on this machine");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

fn fail(error: &anyhow::Error) -> ExitCode {
    eprintln!("system tests: {error:#}");
    ExitCode::FAILURE
}

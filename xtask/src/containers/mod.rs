//! `cargo xtask prove containers`: Experiment 1 as the compose file has it, a trial, containers that are killed in mid-run, and
//! one at its CPU limit, in a Docker engine of our own.
//!
//! Nothing is pulled from a registry, and the machine's own Docker, if it has one, is left alone: the engine and the
//! base image come from Debian's packages, and what the images hold from this machine's build.

mod base_image;
mod doctor;
mod engine;
mod experiment;
mod figures;
mod images;
mod leftovers;
mod observer;
mod packages;
mod restarts;
mod services;
mod trial;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, ensure};

use self::engine::Engine;
use self::experiment::Experiment;
use self::leftovers::Leftovers;
use crate::command::{Stages, target};
use crate::interrupt;
use crate::package::{self, PackageArguments};
use crate::privilege::{Privilege, privilege};

/// The experiments: the compose file by itself, and with each of its overrides.
const EXPERIMENTS: [Experiment; 3] = [
    Experiment {
        name: "privileged agent",
        overrides: &[],
    },
    Experiment {
        name: "agent with the fewest capabilities",
        overrides: &["compose.hardened.yaml"],
    },
    Experiment {
        name: "Java server",
        overrides: &["compose.java.yaml"],
    },
];

/// Where everything of this proof is kept.
fn folder() -> PathBuf {
    target().join("containers")
}

/// Runs all experiments. Where root or Debian's packages cannot be had they are skipped, by name, or this fails if
/// they must run.
pub fn prove(must_run: bool, stages: &mut Stages) -> anyhow::Result<ExitCode> {
    let obtained = stages.run("engine and base image", || {
        ensure!(
            privilege() != Privilege::None,
            "a Docker engine needs root: run as root, or install sudo"
        );
        packages::fetch()?;
        base_image::fetch()
    });
    match obtained {
        Ok(()) => {}
        Err(error) if must_run => return Err(error.context("the containers must run")),
        Err(error) => {
            println!("skipped: containers: {error:#}");
            return Ok(ExitCode::SUCCESS);
        }
    }
    let programs = PackageArguments {
        out: images::programs(),
        architecture: None,
        hook_only: false,
    };
    package::package(&programs, stages)?;
    // What is under way when Ctrl-C is pressed fails, and guards clean up on the way out.
    interrupt::left_to_the_child(|| run(stages))??;
    Ok(ExitCode::SUCCESS)
}

fn run(stages: &mut Stages) -> anyhow::Result<()> {
    let before = Leftovers::look()?;
    let engine = stages.run("start of the engine", Engine::start)?;
    stages.run("images", || {
        base_image::import(&engine)?;
        images::build(&engine)
    })?;
    stages.run("image of the Java server", || images::build_java(&engine))?;
    for experiment in &EXPERIMENTS {
        interrupt::check()?;
        experiment
            .run(&engine, stages)
            .with_context(|| format!("experiment \"{}\"", experiment.name))?;
    }
    interrupt::check()?;
    trial::prove(&engine, stages).context("a trial in containers")?;
    interrupt::check()?;
    restarts::prove(&engine, stages).context("containers that are started again")?;
    interrupt::check()?;
    stages.run("doctor at a container's CPU limit", || {
        doctor::prove(&engine)
    })?;
    stages.run("end of the engine", || {
        engine.check_empty()?;
        engine.stop()?;
        before.check_nothing_new()
    })
}

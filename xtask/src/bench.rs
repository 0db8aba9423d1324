//! What the benches have in common: they are built, given what they measure beside, and run as root.

use std::ffi::OsString;
use std::process::ExitCode;

use anyhow::Context as _;

use crate::build::bins;
use crate::command::{Stages, cargo, is_installed, release};
use crate::privilege::as_root;
use crate::{interrupt, setup};

/// Builds a bench, optimised.
pub fn build(package: &str, stages: &mut Stages) -> anyhow::Result<()> {
    stages.run("build of the bench", || {
        bins(cargo().arg("build"), &[package])
    })
}

/// Installs the programs that are not there, by the Debian packages that have them, where that can be done.
pub fn install(programs: &[(&str, &str)]) {
    let missing: Vec<&str> = programs
        .iter()
        .filter(|(program, _)| !is_installed(program))
        .map(|(_, package)| *package)
        .collect();
    setup::install_packages(&missing);
}

/// The options that every bench has.
pub fn words(rounds: Option<u32>, json: bool) -> Vec<OsString> {
    let mut words: Vec<OsString> = Vec::new();
    if let Some(rounds) = rounds {
        words.extend(["--rounds".into(), rounds.to_string().into()]);
    }
    if json {
        words.push("--json".into());
    }
    words
}

/// Runs a bench, as root where that can be had; passes its exit code on. Ctrl-C is for the bench.
pub fn measure(package: &str, words: &[OsString]) -> anyhow::Result<ExitCode> {
    let mut command = as_root(release().join(package));
    command.args(words);
    let status = interrupt::left_to_the_child(|| command.status())?
        .with_context(|| format!("cannot start {package}"))?;
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    Ok(ExitCode::from(code.unwrap_or(1)))
}

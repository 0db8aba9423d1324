//! `cargo xtask man`: the manual pages and completions of the programs, each written by its program.

use std::path::{self, PathBuf};

use clap::Args;

use crate::build;
use crate::command::{Stages, command, release, run};

/// The programs that have a manual.
const PROGRAMS: [&str; 3] = ["probe-user", "loadgen", "sut"];

/// Options of `man`.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  cargo xtask man
  cargo xtask man --prefix ~/.local     where man, bash, zsh and fish find them")]
pub struct ManArguments {
    /// Write them to DIR/share, made if it is not there
    #[arg(long, value_name = "DIR", default_value = "target/manual")]
    prefix: PathBuf,
}

/// Builds the programs, and has each write its own.
pub fn man(arguments: &ManArguments, stages: &mut Stages) -> anyhow::Result<()> {
    build::prepare(stages)?;
    // Programs are started in the root of the workspace, wherever we were.
    let prefix = path::absolute(&arguments.prefix)?;
    stages.run("manual", || {
        PROGRAMS.iter().try_for_each(|program| {
            run(command(release().join(program))
                .arg("--write-manual")
                .arg(&prefix))
        })
    })
}

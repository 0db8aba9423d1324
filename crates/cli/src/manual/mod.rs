//! Manual pages and shell completions, written by the program whose command line they describe.
//!
//! The definitions of a command line live in its program, so only the program can write them down. Each of ours has a
//! hidden option for it, `--write-manual PREFIX`, which `cargo xtask man` gives.

mod completions;
mod page;

use std::path::{Path, PathBuf};
use std::process;

use anyhow::Context as _;
use clap::{Command, Parser};

use crate::panic;

/// The command line that asks for the manual, and for nothing else.
#[derive(Parser)]
struct WriteManual {
    #[arg(long, value_name = "PREFIX")]
    write_manual: PathBuf,
}

/// Parses the command line of a program. If it asks for the program's manual, writes that and ends the process. From
/// here on a panic ends the process, too.
pub fn parse<Arguments: Parser>() -> Arguments {
    panic::ends_the_process();
    // Anything else, nonsense too, is for the program's own parser to explain.
    let Ok(WriteManual { write_manual }) = WriteManual::try_parse() else {
        return Arguments::parse();
    };
    let command = Arguments::command();
    let name = command.get_name().to_owned();
    match write(command, &write_manual) {
        Ok(()) => process::exit(0),
        Err(error) => {
            eprintln!("{name}: {error:#}");
            process::exit(1)
        }
    }
}

/// Writes the pages and completions below the prefix, where `man` and the shells look for them.
fn write(command: Command, prefix: &Path) -> anyhow::Result<()> {
    let share = prefix.join("share");
    completions::write(&command, &share)
        .and_then(|()| page::write_all(command, &share.join("man/man1")))
        .with_context(|| format!("cannot write the manual to {}", prefix.display()))
}

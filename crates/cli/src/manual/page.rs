//! Manual pages: one for a program, and one for each of its subcommands.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;

use clap::Command;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, roman};

/// What `man` prints below each page.
const PROJECT: &str = concat!("hookprobe ", env!("CARGO_PKG_VERSION"));
/// Pages have no date: they are of a version. An empty one would be left out, and what follows would move up.
const NO_DATE: &str = " ";

/// Writes all pages of a program into a folder.
pub fn write_all(program: Command, folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    let mut program = program.disable_help_subcommand(true);
    // Names the subcommands after the program.
    program.build();
    write_with_subcommands(program, folder)
}

fn write_with_subcommands(command: Command, folder: &Path) -> io::Result<()> {
    let shown = command.get_subcommands().filter(|one| !one.is_hide_set());
    for subcommand in shown.cloned() {
        write_with_subcommands(subcommand, folder)?;
    }
    write_page(command, folder)
}

fn write_page(command: Command, folder: &Path) -> io::Result<()> {
    // clap_mangen says nothing of an option that the short help leaves out, unless it has a long explanation.
    let command = command.mut_args(|argument| argument.hide_short_help(false));
    let has_subcommands = command.get_subcommands().any(|one| !one.is_hide_set());
    let after_help = command.get_after_help().map(ToString::to_string);
    let name = command
        .get_display_name()
        .unwrap_or(command.get_name())
        .to_owned();
    let man = Man::new(command)
        .title(name.to_uppercase())
        .date(NO_DATE)
        .source(PROJECT)
        .manual("hookprobe");
    let mut file = File::create(folder.join(format!("{name}.1")))?;
    man.render_title(&mut file)?;
    man.render_name_section(&mut file)?;
    man.render_synopsis_section(&mut file)?;
    man.render_description_section(&mut file)?;
    man.render_options_section(&mut file)?;
    if has_subcommands {
        man.render_subcommands_section(&mut file)?;
    }
    if let Some(text) = after_help {
        closing_sections(&text).to_writer(&mut file)?;
    }
    file.flush()
}

/// What follows the options in the help: examples, whose lines are kept, and notes. `clap_mangen` would run the lines
/// of examples together.
fn closing_sections(after_help: &str) -> Roff {
    let mut page = Roff::new();
    let mut has_notes = false;
    for paragraph in after_help.split("\n\n") {
        if let Some(examples) = paragraph.strip_prefix("Examples:\n") {
            page.control("SH", ["EXAMPLES"]);
            page.control("nf", []);
            for line in examples.lines() {
                page.text([roman(line.strip_prefix("  ").unwrap_or(line))]);
            }
            page.control("fi", []);
        } else {
            if has_notes {
                page.control("PP", []);
            } else {
                page.control("SH", ["NOTES"]);
            }
            page.text([roman(paragraph)]);
            has_notes = true;
        }
    }
    page
}

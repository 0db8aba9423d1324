//! Completions for bash, zsh and fish.

use std::fs;
use std::io;
use std::path::Path;

use clap::Command;
use clap::builder::{Resettable, Str};
use clap_complete::{Shell, generate_to};

/// Where each shell looks for completions of programs, below `share`.
const FOLDERS: [(Shell, &str); 3] = [
    (Shell::Bash, "bash-completion/completions"),
    (Shell::Zsh, "zsh/site-functions"),
    (Shell::Fish, "fish/vendor_completions.d"),
];

/// Writes the completions of a program.
pub fn write(command: &Command, share: &Path) -> io::Result<()> {
    for (shell, folder) in FOLDERS {
        let folder = share.join(folder);
        fs::create_dir_all(&folder)?;
        let mut shown = without_hidden(command);
        generate_to(shell, &mut shown, command.get_name(), folder)?;
    }
    Ok(())
}

/// The command without what its help does not show either: `clap_complete` offers everything.
fn without_hidden(command: &Command) -> Command {
    let version = command.get_version().map(|text| Str::from(text.to_owned()));
    let arguments = command.get_arguments().filter(|one| !one.is_hide_set());
    let subcommands = command.get_subcommands().filter(|one| !one.is_hide_set());
    Command::new(command.get_name().to_owned())
        .about(Resettable::from(command.get_about().cloned()))
        .version(Resettable::from(version))
        .args(arguments.cloned())
        .subcommands(subcommands.map(without_hidden))
}

//! Root for the probing process, and for nothing else.

use std::ffi::{OsStr, OsString};
use std::io::IsTerminal as _;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Command, ExitCode, ExitStatus, Stdio};
use std::sync::OnceLock;

use anyhow::Context as _;

use crate::command::{command, is_installed, release};
use crate::interrupt;

/// What the names of our variables begin with (docs/environment.md).
const OUR_VARIABLES: [&str; 2] = ["READHOOK_", "HOOKPROBE_"];

/// How `probe-user` ends when what it has measured is not usable, or a finding of its doctor fails.
pub const NOT_USABLE: u8 = 4;

/// How commands become root.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Privilege {
    /// We are root.
    Root,
    /// sudo makes them root, perhaps after asking for a password.
    Sudo,
    /// They do not.
    None,
}

/// What this user can do. Found out once, as sudo may ask for a password.
pub fn privilege() -> Privilege {
    static FOUND: OnceLock<Privilege> = OnceLock::new();
    *FOUND.get_or_init(|| {
        if rustix::process::geteuid().is_root() {
            Privilege::Root
        } else if is_installed("sudo") {
            through_sudo(std::io::stdin().is_terminal(), sudo_lets)
        } else {
            Privilege::None
        }
    })
}

/// What sudo lets this user do; `lets` runs it and says whether it succeeded. A user with a terminal
/// may be asked for a password, once.
fn through_sudo(may_ask: bool, lets: impl Fn(&[&str]) -> bool) -> Privilege {
    if lets(&["-n", "true"]) {
        return Privilege::Sudo;
    }
    if !may_ask {
        return Privilege::None;
    }
    eprintln!("probes need root: sudo may ask for your password");
    if lets(&["-v"]) {
        return Privilege::Sudo;
    }
    eprintln!("no root: the in-situ layer will be missing");
    Privilege::None
}

fn sudo_lets(arguments: &[&str]) -> bool {
    let mut sudo = Command::new("sudo");
    // Without a password sudo says so; that is what is being found out.
    if arguments.contains(&"-n") {
        sudo.stderr(Stdio::null());
    }
    sudo.args(arguments)
        .status()
        .is_ok_and(|status| status.success())
}

/// A command as root where that can be had, and as this user where not.
pub fn as_root(program: impl AsRef<OsStr>) -> Command {
    match privilege() {
        Privilege::Root | Privilege::None => command(program),
        Privilege::Sudo => {
            let variables = std::env::vars_os().map(|(name, _)| name);
            let mut sudo = command("sudo");
            sudo.args(preserve_env(variables)).arg(program.as_ref());
            sudo
        }
    }
}

/// The option with which sudo keeps those of `variables` that set up the hook or our programs; it drops all others.
fn preserve_env(variables: impl Iterator<Item = OsString>) -> Option<String> {
    let ours: Vec<String> = variables
        .filter_map(|name| name.into_string().ok())
        .filter(|name| OUR_VARIABLES.iter().any(|ours| name.starts_with(ours)))
        .collect();
    (!ours.is_empty()).then(|| format!("--preserve-env={}", ours.join(",")))
}

/// Runs `probe-user`, the probing process; passes its exit code on. Ctrl-C is for `probe-user`, which
/// then prints what it has and ends with 3.
pub fn probe_user(
    task: &str,
    defaults: &[&str],
    arguments: &[OsString],
) -> anyhow::Result<ExitCode> {
    if privilege() == Privilege::Sudo {
        eprintln!("probe-user runs under sudo; servers and load generator run as you");
    }
    let mut command = as_root(release().join("probe-user"));
    command.arg(task).args(defaults).args(arguments);
    let status = interrupt::left_to_the_child(|| command.status())?
        .with_context(|| format!("cannot start {command:?}"))?;
    Ok(ExitCode::from(code_of(status)))
}

/// The exit code that says how a child ended, as shells have it.
fn code_of(status: ExitStatus) -> u8 {
    let by_signal = status.signal().map(|signal| 128 + signal);
    let code = status.code().or(by_signal);
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1)
}

#[cfg(test)]
mod tests;

//! Root for the probing process, and for nothing else.

use std::io::IsTerminal as _;
use std::process::{Command, ExitCode, Stdio};

use anyhow::Context as _;

use crate::command::{command, is_installed, release};

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

/// What this user can do.
pub fn privilege() -> Privilege {
    if rustix::process::geteuid().is_root() {
        return Privilege::Root;
    }
    if !is_installed("sudo") {
        return Privilege::None;
    }
    let without_asking = Command::new("sudo")
        .args(["-n", "true"])
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    if without_asking || std::io::stdin().is_terminal() {
        Privilege::Sudo
    } else {
        Privilege::None
    }
}

/// A command as root where that can be had, and as this user where not.
pub fn as_root(program: impl AsRef<std::ffi::OsStr>) -> Command {
    match privilege() {
        Privilege::Root | Privilege::None => command(program),
        Privilege::Sudo => {
            let mut sudo = command("sudo");
            sudo.arg(
                "--preserve-env=READHOOK_MODE,READHOOK_KEYWORDS,READHOOK_LOG,READHOOK_DELAY_NS",
            );
            sudo.arg(program.as_ref());
            sudo
        }
    }
}

/// Runs `probe-user`, the probing process; passes its exit code on.
pub fn probe_user(task: &str, defaults: &[&str], arguments: &[String]) -> anyhow::Result<ExitCode> {
    if privilege() == Privilege::Sudo {
        eprintln!("probe-user runs under sudo; servers and load generator run as you");
    }
    let mut command = as_root(release().join("probe-user"));
    let status = command
        .arg(task)
        .args(defaults)
        .args(arguments)
        .status()
        .with_context(|| format!("cannot start {command:?}"))?;
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    Ok(code.map_or(ExitCode::FAILURE, ExitCode::from))
}

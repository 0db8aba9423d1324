//! Children that SIGINT reaches, however we were started ourselves.
#![allow(
    unsafe_code,
    reason = "a signal's disposition is set between fork and exec"
)]

use std::io;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

/// Has a child begin with SIGINT as it is by default. A program that a shell runs in the background begins
/// with SIGINT ignored, and its children inherit that; shells cannot even trap a signal then.
pub fn interruptible(command: &mut Command) -> &mut Command {
    // SAFETY: the closure makes one system call and nothing else: no allocation, no lock.
    unsafe { command.pre_exec(take_interrupts) }
}

fn take_interrupts() -> io::Result<()> {
    // SAFETY: no handler is installed, only the default put back.
    if unsafe { libc::signal(libc::SIGINT, libc::SIG_DFL) } == libc::SIG_ERR {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

//! QEMU: one boot, one result.

use std::fs;
use std::path::Path;
use std::process::{Command, ExitStatus};

use anyhow::{Context as _, bail};

use crate::vm::architecture::Architecture;

/// What QEMU's exit code is made of when the guest's init has written to `isa-debug-exit`: twice the
/// value plus one, and init adds 16. A panic of the kernel ends QEMU with 0.
const DEBUG_EXIT_SUCCESS: i32 = 33;
/// How long a boot may take, in seconds.
const TIMEOUT_S: u32 = 1_500;

/// What the guest's init puts before what its command prints on stdout.
const STDOUT_PREFIX: &str = "stdout: ";
/// What it puts before words of its own.
const INIT_PREFIX: &str = "guest: ";
/// Its last line: the exit code of the command.
const EXIT_CODE_PREFIX: &str = "guest: exit code ";

/// One boot of a kernel.
#[derive(Clone, Copy, Debug)]
pub struct Boot<'b> {
    /// The architecture of the kernel.
    pub architecture: Architecture,
    /// The kernel's image.
    pub kernel: &'b Path,
    /// The initramfs. What the guest prints is kept beside it, in `console.log`.
    pub initramfs: &'b Path,
    /// Whether a nanosecond of the guest is an instruction. Durations are then the same each time, and say
    /// what code costs; they say nothing about time.
    pub counts_instructions: bool,
}

/// How a guest ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// Everything on the console.
    pub console: String,
    /// The exit code of the command; `None` when the guest did not get to its end.
    pub code: Option<u8>,
}

impl Ended {
    /// What the command printed on stdout.
    pub fn stdout(&self) -> String {
        let lines = self.console.lines();
        lines
            .filter_map(|line| line.strip_prefix(STDOUT_PREFIX.trim_end()))
            .flat_map(|line| [line.strip_prefix(' ').unwrap_or(line), "\n"])
            .collect()
    }

    /// An error, with the guest's last words, unless the command succeeded.
    pub fn succeeded(&self) -> anyhow::Result<()> {
        let how = match self.code {
            Some(0) => return Ok(()),
            Some(code) => format!("its command ended with {code}"),
            None => "it did not get to its end".to_owned(),
        };
        let tail: Vec<&str> = self.console.lines().rev().take(40).collect();
        let tail: Vec<&str> = tail.into_iter().rev().collect();
        bail!(
            "the guest failed: {how}; its last words:\n{}",
            tail.join("\n")
        )
    }
}

impl Boot<'_> {
    /// Boots, and waits for the end. An error says that there was no boot at all.
    pub fn run(&self) -> anyhow::Result<Ended> {
        let ended = self.once()?;
        if ended.console.contains(INIT_PREFIX) {
            return Ok(ended);
        }
        // Before init nothing of ours has run: that is the emulator, and worth a second try.
        self.once()
    }

    /// Emulation, as a virtual machine inside of one often has no KVM, and in one thread without
    /// `cmpxchg16b`: with either, QEMU 7.2 corrupts a guest now and then.
    fn command(&self) -> Command {
        let mut command = at_most(TIMEOUT_S, self.architecture.qemu());
        command
            .args(["-nodefaults", "-no-user-config", "-no-reboot"])
            .args(["-display", "none", "-serial", "stdio", "-m", "1024"])
            .args(["-accel", "tcg,thread=single"]);
        if self.counts_instructions {
            command.args(["-icount", "shift=0,sleep=off", "-smp", "1"]);
        } else {
            command.args(["-smp", "2"]);
        }
        let console = match self.architecture {
            Architecture::X86_64 => {
                command
                    .args(["-machine", "q35", "-cpu", "max,-cx16"])
                    .args(["-device", "isa-debug-exit,iobase=0xf4,iosize=0x04"]);
                "ttyS0"
            }
            Architecture::Aarch64 => {
                command.args(["-machine", "virt", "-cpu", "max,pauth-impdef=on"]);
                "ttyAMA0"
            }
        };
        command
            .arg("-append")
            .arg(format!("console={console} panic=-1 reboot=t quiet"))
            .arg("-kernel")
            .arg(self.kernel)
            .arg("-initrd")
            .arg(self.initramfs)
            .stdin(std::process::Stdio::null());
        command
    }

    fn once(&self) -> anyhow::Result<Ended> {
        let qemu = self.architecture.qemu();
        let output = self
            .command()
            .output()
            .with_context(|| format!("cannot start {qemu}"))?;
        let kept = self.initramfs.with_file_name("console.log");
        fs::write(&kept, &output.stdout)
            .with_context(|| format!("cannot write {}", kept.display()))?;
        let mut console = String::from_utf8_lossy(&output.stdout).replace('\r', "");
        let said = String::from_utf8_lossy(&output.stderr);
        if !said.is_empty() {
            console.extend([qemu, ": ", said.trim_end(), "\n"]);
        }
        let code = exit_code(self.architecture, output.status, &console);
        Ok(Ended { console, code })
    }
}

/// The exit code of the guest's command. Where there is a device that tells whether init got to its end,
/// the console is believed only if that agrees.
fn exit_code(architecture: Architecture, status: ExitStatus, console: &str) -> Option<u8> {
    let code: u8 = console
        .lines()
        .rev()
        .find_map(|line| line.strip_prefix(EXIT_CODE_PREFIX))?
        .trim()
        .parse()
        .ok()?;
    let expected = match architecture {
        Architecture::X86_64 => DEBUG_EXIT_SUCCESS + 2 * i32::from(code),
        Architecture::Aarch64 => 0,
    };
    // Of an exit code the system keeps eight bits.
    (status.code() == Some(expected & 0xff)).then_some(code)
}

/// A command that runs a program for so many seconds at most; then it is asked to end, and soon killed.
///
/// The program stays in our process group, so that Ctrl-C on the terminal ends it too.
fn at_most(seconds: u32, program: &str) -> Command {
    let mut command = Command::new("timeout");
    command
        .args(["--foreground", "--kill-after=5"])
        .arg(seconds.to_string())
        .arg(program);
    command
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt as _;

    use super::*;

    #[test]
    fn a_bounded_program_stays_in_our_process_group() {
        let output = at_most(10, "cat").arg("/proc/self/stat").output().unwrap();
        let stat = String::from_utf8(output.stdout).unwrap();
        // After "pid (name)": state, parent, process group.
        let group = stat.split(' ').nth(4).unwrap();
        let ours = rustix::process::getpgrp().as_raw_nonzero().to_string();
        assert_eq!(group, ours);
    }

    #[test]
    fn the_commands_output_is_told_from_what_else_is_on_the_console() {
        let console = "guest: /bin/true\nstdout: {\n[    4.2] oops\nstdout:\nstderr: stdout: no\nstdout:  }\n";
        let ended = Ended {
            console: console.to_owned(),
            code: None,
        };
        assert_eq!(ended.stdout(), "{\n\n }\n");
        assert!(ended.succeeded().is_err());
    }

    #[test]
    fn an_exit_code_is_believed_when_both_ways_agree() {
        use Architecture::{Aarch64, X86_64};
        let ended = |code| ExitStatus::from_raw(code << 8);
        let console = |code| format!("guest: exit code {code}\n");
        assert_eq!(exit_code(X86_64, ended(33), &console(0)), Some(0));
        assert_eq!(exit_code(X86_64, ended(35), &console(1)), Some(1));
        // 16 + 101, twice and one, is 235; 16 + 200 needs a ninth bit.
        assert_eq!(exit_code(X86_64, ended(235), &console(101)), Some(101));
        assert_eq!(exit_code(X86_64, ended(177), &console(200)), Some(200));
        assert_eq!(exit_code(Aarch64, ended(0), &console(7)), Some(7));
        // The kernel panicked; the time was over; init never ran.
        assert_eq!(exit_code(X86_64, ended(0), &console(0)), None);
        assert_eq!(exit_code(Aarch64, ended(124), &console(0)), None);
        assert_eq!(exit_code(X86_64, ended(33), ""), None);
    }
}

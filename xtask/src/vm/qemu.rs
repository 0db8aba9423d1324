//! QEMU: one boot, one result.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use anyhow::{Context as _, bail};

/// QEMU's exit code when the guest's init ended with 0: see `guest`.
const SUCCESS: i32 = 33;
/// How long a boot may take, in seconds.
const TIMEOUT_S: u32 = 900;

/// Boots a kernel with an initramfs; returns what it printed on its console.
///
/// Emulation, as a virtual machine inside of one often has no KVM, and one thread without
/// `cmpxchg16b`: with either, QEMU 7.2 corrupts a guest now and then. The console is kept beside the
/// initramfs.
pub fn boot(kernel: &Path, initramfs: &Path) -> anyhow::Result<String> {
    let output = once(kernel, initramfs)?;
    let console = String::from_utf8_lossy(&output.stdout).into_owned();
    match output.status.code() {
        Some(SUCCESS) => Ok(console),
        // Before init nothing of ours has run: that is the emulator, and worth a second try.
        _ if !console.contains("guest: ") => {
            let output = once(kernel, initramfs)?;
            let console = String::from_utf8_lossy(&output.stdout).into_owned();
            if output.status.code() == Some(SUCCESS) {
                Ok(console)
            } else {
                fail(&output, &console)
            }
        }
        _ => fail(&output, &console),
    }
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

fn once(kernel: &Path, initramfs: &Path) -> anyhow::Result<Output> {
    let output = at_most(TIMEOUT_S, "qemu-system-x86_64")
        .args([
            "-nodefaults",
            "-no-user-config",
            "-no-reboot",
            "-display",
            "none",
        ])
        .args([
            "-machine",
            "q35",
            "-accel",
            "tcg,thread=single",
            "-cpu",
            "max,-cx16",
        ])
        .args(["-smp", "2", "-m", "1024", "-serial", "stdio"])
        .args(["-device", "isa-debug-exit,iobase=0xf4,iosize=0x04"])
        .args(["-append", "console=ttyS0 panic=-1 reboot=t quiet"])
        .arg("-kernel")
        .arg(kernel)
        .arg("-initrd")
        .arg(initramfs)
        .stdin(std::process::Stdio::null())
        .output()
        .context("cannot start qemu-system-x86_64")?;
    fs::write(initramfs.with_file_name("console.log"), &output.stdout)?;
    Ok(output)
}

fn fail<T>(output: &Output, console: &str) -> anyhow::Result<T> {
    let tail: Vec<&str> = console.lines().rev().take(40).collect();
    let tail: Vec<&str> = tail.into_iter().rev().collect();
    bail!(
        "the guest failed ({}); its last words:\n{}\n{}",
        output.status,
        tail.join("\n"),
        String::from_utf8_lossy(&output.stderr)
    )
}

#[cfg(test)]
mod tests {
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
}

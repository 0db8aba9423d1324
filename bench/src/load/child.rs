//! A load generator that runs, and what it cost.
#![allow(unsafe_code, reason = "wait4(2), which says what a child has used")]

use std::fs::File;
use std::io::{self, Write as _};
use std::mem::MaybeUninit;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::children::{ends_with_us, interruptible, on_cpu};
use anyhow::{Context as _, bail};
use rustix::process::{Pid, Signal, kill_process};

use crate::load::generator::Invocation;

/// How often to look whether it has ended.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// A generator that waits to begin, or has begun. It is killed with the value.
#[derive(Debug)]
pub struct Gated {
    child: Child,
    has_ended: bool,
}

impl Gated {
    /// Starts a generator on a CPU, but has it wait: its process number is known before it does anything.
    /// Its output goes into files of the folder, so that nobody need read along.
    pub fn start(invocation: &Invocation, cpu: usize, folder: &Path) -> anyhow::Result<Self> {
        let mut command = Command::new("sh");
        command
            .args(["-c", "read -r go && exec \"$@\"", "sh"])
            .args(&invocation.words)
            .envs(
                invocation
                    .variables
                    .iter()
                    .map(|(name, value)| (name, value)),
            )
            .stdin(Stdio::piped())
            .stdout(File::create(folder.join("stdout"))?)
            .stderr(File::create(folder.join("stderr"))?);
        ends_with_us(interruptible(&mut command));
        let child = on_cpu(cpu, || command.spawn().context("cannot start sh"))?;
        Ok(Self {
            child,
            has_ended: false,
        })
    }

    /// Its process number, which stays the same.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Lets it begin.
    pub fn go(&mut self) -> anyhow::Result<()> {
        let mut gate = self.child.stdin.take().context("it has begun already")?;
        writeln!(gate, "go").context("it has ended already")
    }

    /// Waits until it has ended; returns how, and the CPU time of the process and its children from start to end.
    /// `None` when `stop` was raised meanwhile.
    pub fn wait(
        mut self,
        patience: Duration,
        stop: &AtomicBool,
    ) -> anyhow::Result<Option<(ExitStatus, Duration)>> {
        let give_up = Instant::now() + patience;
        loop {
            if let Some(ended) = wait4(self.child.id(), false)? {
                self.has_ended = true;
                let was_stopped = stop.load(Ordering::Relaxed);
                return Ok((!was_stopped).then_some(ended));
            }
            if stop.load(Ordering::Relaxed) {
                return Ok(None);
            }
            if Instant::now() > give_up {
                bail!("has not ended within {} s", patience.as_secs());
            }
            sleep(LOOK_EVERY);
        }
    }
}

impl Drop for Gated {
    fn drop(&mut self) {
        if !self.has_ended {
            let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
            if let Some(pid) = pid {
                let _ = kill_process(pid, Signal::KILL);
            }
            let _ = wait4(self.child.id(), true);
        }
    }
}

/// Asks the kernel how a child has ended and what it has used; `None` when it runs.
fn wait4(pid: u32, to_the_end: bool) -> io::Result<Option<(ExitStatus, Duration)>> {
    let pid = libc::pid_t::try_from(pid).map_err(io::Error::other)?;
    let flags = if to_the_end { 0 } else { libc::WNOHANG };
    let mut status = 0;
    let mut used = MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: both pointers are to values that are ours.
    match unsafe { libc::wait4(pid, &raw mut status, flags, used.as_mut_ptr()) } {
        0 => Ok(None),
        found if found == pid => {
            // SAFETY: zeroed before, and filled in by the kernel.
            let used = unsafe { used.assume_init() };
            let cpu = [used.ru_utime, used.ru_stime].map(as_duration);
            Ok(Some((ExitStatus::from_raw(status), cpu[0] + cpu[1])))
        }
        _ => Err(io::Error::last_os_error()),
    }
}

fn as_duration(time: libc::timeval) -> Duration {
    let micros = time.tv_sec * 1_000_000 + time.tv_usec;
    Duration::from_micros(u64::try_from(micros).unwrap_or(0))
}

#[cfg(test)]
mod tests;

//! Child processes that do not outlive us.
#![allow(
    unsafe_code,
    reason = "asking the kernel to kill a child with its parent takes code between fork and exec"
)]

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};

use anyhow::Context as _;
use rustix::process::{Pid, Signal, kill_process, set_parent_process_death_signal};
use tokio::process::{Child, Command};

use crate::machine::bind_to;
use crate::run::identity::{Caller, caller};

/// How a child is started.
#[derive(Debug)]
pub struct Spawn<'s> {
    /// What to call it in messages.
    pub name: &'s str,
    /// CPUs that it may use.
    pub cpus: &'s [usize],
    /// CPUs that we go back to.
    pub our_cpus: &'s [usize],
    /// Where its stderr goes.
    pub log: PathBuf,
}

/// A child that is killed when this value, or this process, goes away.
#[derive(Debug)]
pub struct Process {
    name: String,
    log: PathBuf,
    child: Child,
}

impl Spawn<'_> {
    /// Starts `command`: on its CPUs, as the user on whose behalf we run, in a process group of its
    /// own (so that Ctrl-C on the terminal reaches us alone), and doomed to die with us.
    pub fn start(self, mut command: Command) -> anyhow::Result<Process> {
        let log = File::create(&self.log)
            .with_context(|| format!("cannot write {}", self.log.display()))?;
        command
            .stderr(Stdio::from(log))
            .process_group(0)
            .kill_on_drop(true);
        if let Some(Caller { uid, gid }) = caller() {
            command.uid(uid).gid(gid);
        }
        // SAFETY: the closure makes one system call and nothing else: no allocation, no lock.
        unsafe {
            command.pre_exec(|| Ok(set_parent_process_death_signal(Some(Signal::KILL))?));
        }
        bind_to(self.cpus)?;
        let child = command.spawn();
        bind_to(self.our_cpus)?;
        let program = command.as_std().get_program();
        let child = child.with_context(|| {
            format!(
                "cannot start {} ({})",
                self.name,
                Path::new(program).display()
            )
        })?;
        Ok(Process {
            name: self.name.to_owned(),
            log: self.log,
            child,
        })
    }
}

impl Process {
    /// Its process number; 0 when it has ended.
    pub fn pid(&self) -> u32 {
        self.child.id().unwrap_or(0)
    }

    /// The child itself, to talk to.
    pub fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    /// Says how it ended, if it has: with the last thing that it said.
    pub fn has_ended(&mut self) -> Option<String> {
        let status = self.child.try_wait().ok().flatten()?;
        Some(self.describe_end(status))
    }

    fn describe_end(&self, status: ExitStatus) -> String {
        let last_words = fs::read_to_string(&self.log).unwrap_or_default();
        let last_words = last_words
            .trim_end()
            .lines()
            .next_back()
            .unwrap_or_default();
        let Self { name, .. } = self;
        if last_words.is_empty() {
            format!("{name} ended ({status})")
        } else {
            format!("{name} ended ({status}): {last_words}")
        }
    }

    /// Asks it to end.
    pub fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.pid()).ok().and_then(Pid::from_raw);
        if let Some(pid) = pid {
            let _ = kill_process(pid, signal);
        }
    }

    /// Asks it to end, waits a while, and kills it if it has not.
    pub async fn stop(mut self) {
        self.signal(Signal::TERM);
        let patience = std::time::Duration::from_secs(2);
        if tokio::time::timeout(patience, self.child.wait())
            .await
            .is_err()
        {
            let _ = self.child.kill().await;
        }
    }
}

//! Child processes that do not outlive us.
#![allow(
    unsafe_code,
    reason = "what a child inherits, and that it dies with its parent, is said between fork and exec"
)]

use std::ffi::{CStr, OsStr};
use std::fs;
use std::os::fd::{AsRawFd as _, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::Context as _;
use runlog::file;
use runlog::manifest::{Placement, Scheduling};
use rustix::io::{FdFlags, fcntl_setfd};
use rustix::process::{
    Pid, Signal, kill_process, kill_process_group, set_parent_process_death_signal,
};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use crate::machine::bind_to;
use crate::run::identity::{Caller, caller};
use crate::run::scheduling;

/// A command to start a child by. Nothing is preloaded into it, whatever is into us.
pub fn command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    command.env_remove("LD_PRELOAD");
    for variable in [abi::trial::VARIABLE, abi::trial::RECORDS_VARIABLE] {
        command.env_remove(name(variable));
    }
    command
}

/// The name of an environment variable.
pub fn name(variable: &'static CStr) -> &'static OsStr {
    OsStr::from_bytes(variable.to_bytes())
}

/// Has a child inherit a file. Returns the number of its descriptor there.
pub fn inherit(command: &mut Command, file: OwnedFd) -> RawFd {
    let number = file.as_raw_fd();
    // SAFETY: the closure makes one system call and nothing else: no allocation, no lock.
    unsafe {
        command.pre_exec(move || Ok(fcntl_setfd(&file, FdFlags::empty())?));
    }
    number
}

/// How a child is started.
#[derive(Debug)]
pub struct Spawn<'s> {
    /// What to call it in messages.
    pub name: &'s str,
    /// CPUs that it may use.
    pub cpus: &'s [usize],
    /// How it is scheduled, and the CPUs that we go back to.
    pub placement: &'s Placement,
    /// Where its stderr goes.
    pub log: PathBuf,
}

/// How long a child may take to end when it is asked to.
const PATIENCE: Duration = Duration::from_secs(2);

/// A child that is killed when this value, or this process, goes away. With the value go all
/// processes that the child has started and left in its process group.
#[derive(Debug)]
pub struct Process {
    name: String,
    log: PathBuf,
    child: Child,
    group: Option<Pid>,
}

impl Spawn<'_> {
    /// Starts `command`: on its CPUs, as the user on whose behalf we run, in a process group of its
    /// own (so that Ctrl-C on the terminal reaches us alone), and doomed to die with us.
    pub fn start(self, mut command: Command) -> anyhow::Result<Process> {
        let log = file::create(&self.log)
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
        // A child inherits both.
        bind_to(self.cpus)?;
        let child = scheduling::set(self.placement.scheduling).map(|()| command.spawn());
        scheduling::set(Scheduling::Fair)?;
        bind_to(&self.placement.agent_cpus)?;
        let child = child?;
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
            group: child.id().and_then(as_pid),
            child,
        })
    }
}

impl Process {
    /// Its process number; `None` when it has ended.
    pub fn pid(&self) -> Option<i32> {
        self.child.id().and_then(|pid| i32::try_from(pid).ok())
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

    /// Waits a moment for its end, and says how it ended: for children that have said their last
    /// word.
    pub async fn end(&mut self) -> Option<String> {
        let status = timeout(PATIENCE, self.child.wait()).await.ok()?.ok()?;
        Some(self.describe_end(status))
    }

    /// What it has said on stderr.
    pub fn said(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    fn describe_end(&self, status: ExitStatus) -> String {
        let said = self.said();
        let last_words = said.trim_end().lines().next_back().unwrap_or_default();
        let Self { name, .. } = self;
        if last_words.is_empty() {
            format!("{name} ended ({status})")
        } else {
            format!("{name} ended ({status}): {last_words}")
        }
    }

    /// Asks it to end.
    pub fn signal(&self, signal: Signal) {
        if let Some(pid) = self.child.id().and_then(as_pid) {
            let _ = kill_process(pid, signal);
        }
    }

    /// Lets it end by itself for a while, then asks it to end, and what it has started; then kills
    /// what is left.
    pub async fn stop(mut self, by_itself: Duration) {
        let ended = timeout(by_itself, self.child.wait()).await.is_ok();
        if !ended {
            self.signal_group(Signal::TERM);
            let _ = timeout(PATIENCE, self.child.wait()).await;
        }
        self.signal_group(Signal::KILL);
        let _ = self.child.wait().await;
        self.group = None;
        // What it said is worth a file only if it said something.
        if fs::metadata(&self.log).is_ok_and(|log| log.len() == 0) {
            let _ = fs::remove_file(&self.log);
        }
    }

    /// Sends a signal to it and to what it has started.
    pub fn signal_group(&self, signal: Signal) {
        if let Some(group) = self.group {
            let _ = kill_process_group(group, signal);
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.signal_group(Signal::KILL);
    }
}

fn as_pid(number: u32) -> Option<Pid> {
    i32::try_from(number).ok().and_then(Pid::from_raw)
}

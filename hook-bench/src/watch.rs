//! Tracers that see the hook's site while reads are timed.

use std::fs::File;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};

use crate::cases::Watcher;
use crate::interruptible::interruptible;

/// How long a tracer may take to attach, and to end.
const PATIENCE: Duration = Duration::from_secs(30);
/// What it is given to come to rest.
const REST: Duration = Duration::from_millis(50);

/// A tracer that has attached. It is killed with the value.
#[derive(Debug)]
pub struct Watching {
    child: Child,
    /// Everything that it prints, in files: nobody need read along.
    folder: tempfile::TempDir,
    name: &'static str,
}

/// Why a watcher cannot be had here; `None` when it can.
pub fn missing(watcher: Watcher) -> Option<&'static str> {
    let is_root = rustix::process::geteuid().is_root();
    match watcher {
        Watcher::Ours | Watcher::Bpftrace if !is_root => Some("needs root"),
        Watcher::Nobody | Watcher::Ours => None,
        Watcher::Bpftrace => {
            let path = std::env::var_os("PATH").unwrap_or_default();
            let found = std::env::split_paths(&path).any(|dir| dir.join("bpftrace").is_file());
            (!found).then_some("needs bpftrace")
        }
    }
}

impl Watching {
    /// Starts a tracer of a process, and waits until it has attached. Nobody is no tracer.
    pub fn start(
        watcher: Watcher,
        pid: u32,
        probe_user: &Path,
        hook: &Path,
    ) -> anyhow::Result<Option<Self>> {
        let pid = pid.to_string();
        let (mut command, name, says) = match watcher {
            Watcher::Nobody => return Ok(None),
            Watcher::Ours => {
                let mut command = Command::new(probe_user);
                command.args([
                    "trace",
                    "--json",
                    "--calibration-rounds",
                    "0",
                    "--pid",
                    &pid,
                ]);
                (command, "probe-user", "attached to")
            }
            Watcher::Bpftrace => {
                let script = format!(
                    "usdt:{}:readhook:read_done {{ @overhead_ns = hist(arg4 - arg3); }} \
                     interval:ms:100 /!@said/ {{ @said = 1; printf(\"attached\\n\"); }}",
                    hook.canonicalize().context("the hook's path")?.display()
                );
                let mut command = Command::new("bpftrace");
                command.args(["-B", "line", "-p", &pid, "-e", &script]);
                (command, "bpftrace", "attached")
            }
        };
        let folder = tempfile::tempdir()?;
        let child = interruptible(&mut command)
            .stdin(Stdio::null())
            .stdout(File::create(folder.path().join("stdout"))?)
            .stderr(File::create(folder.path().join("stderr"))?)
            .spawn()
            .with_context(|| format!("cannot start {name}"))?;
        let mut watching = Self {
            child,
            folder,
            name,
        };
        let end = Instant::now() + PATIENCE;
        while !watching.said()?.contains(says) {
            if watching.child.try_wait()?.is_some() {
                bail!("{name}: {}", watching.said()?.trim_end());
            }
            ensure!(Instant::now() < end, "{name} has not attached");
            sleep(Duration::from_millis(5));
        }
        sleep(REST);
        Ok(Some(watching))
    }

    fn said(&self) -> anyhow::Result<String> {
        let read = |name| std::fs::read(self.folder.path().join(name));
        let (stdout, stderr) = (read("stdout")?, read("stderr")?);
        Ok(String::from_utf8_lossy(&stdout).into_owned() + &String::from_utf8_lossy(&stderr))
    }

    /// Asks it to end. A tracer that has seen nothing has cost nothing, which is an error.
    pub fn stop(mut self) -> anyhow::Result<()> {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        kill_process(pid.context("its process number")?, Signal::INT)?;
        let end = Instant::now() + PATIENCE;
        let status = loop {
            if let Some(status) = self.child.try_wait()? {
                break status;
            }
            ensure!(Instant::now() < end, "{} does not end", self.name);
            sleep(Duration::from_millis(5));
        };
        let said = self.said()?;
        ensure!(status.success(), "{}: {}", self.name, said.trim_end());
        let has_seen = match serde_json::from_str::<serde_json::Value>(&String::from_utf8_lossy(
            &std::fs::read(self.folder.path().join("stdout"))?,
        )) {
            Ok(trace) => trace["spans"]["hook"]["count"].as_u64() > Some(0),
            Err(_) => said.contains('|'),
        };
        ensure!(has_seen, "{} has seen nothing", self.name);
        Ok(())
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

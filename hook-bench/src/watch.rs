//! Tracers that see the hook's site while reads are timed.

use std::ffi::OsString;
use std::path::Path;

use anyhow::{Context as _, ensure};
use bench_kit::machine::is_installed;
use bench_kit::running::Running;

use crate::cases::Watcher;

/// A tracer that has attached. It is killed with the value.
#[derive(Debug)]
pub struct Watching {
    running: Running,
    name: &'static str,
}

/// Why a watcher cannot be had here; `None` when it can.
pub fn missing(watcher: Watcher) -> Option<&'static str> {
    let is_root = rustix::process::geteuid().is_root();
    match watcher {
        Watcher::Ours | Watcher::Bpftrace if !is_root => Some("needs root"),
        Watcher::Nobody | Watcher::Ours => None,
        Watcher::Bpftrace => (!is_installed("bpftrace")).then_some("needs bpftrace"),
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
        let (command, name, says): (Vec<OsString>, _, _) = match watcher {
            Watcher::Nobody => return Ok(None),
            Watcher::Ours => {
                let words = [
                    "trace",
                    "--json",
                    "--calibration-rounds",
                    "0",
                    "--pid",
                    &pid,
                ];
                let program = std::iter::once(probe_user.into());
                let command = program.chain(words.map(Into::into)).collect();
                (command, "probe-user", "attached to")
            }
            Watcher::Bpftrace => {
                let script = format!(
                    "usdt:{}:readhook:read_done {{ @overhead_ns = hist(arg4 - arg3); }} \
                     interval:ms:100 /!@said/ {{ @said = 1; printf(\"attached\\n\"); }}",
                    hook.canonicalize().context("the hook's path")?.display()
                );
                let words = ["bpftrace", "-B", "line", "-p", &pid, "-e", &script];
                (words.map(Into::into).into(), "bpftrace", "attached")
            }
        };
        let running = Running::start(&command, says).context(name)?;
        Ok(Some(Self { running, name }))
    }

    /// Asks it to end. A tracer that has seen nothing has cost nothing, which is an error.
    pub fn stop(self) -> anyhow::Result<()> {
        let said = self.running.stop().context(self.name)?;
        let has_seen = match serde_json::from_str::<serde_json::Value>(&said) {
            Ok(trace) => trace["spans"]["hook"]["count"].as_u64() > Some(0),
            Err(_) => said.contains('|'),
        };
        ensure!(has_seen, "{} has seen nothing", self.name);
        Ok(())
    }
}

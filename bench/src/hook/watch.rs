//! Tracers that see the hook's site while reads are timed.

use std::path::Path;

use crate::hook::cases::Watcher;
use crate::machine::is_installed;
use crate::observer::{Observer, at_read_done};

/// Why a watcher cannot be had here; `None` when it can.
pub fn missing(watcher: Watcher) -> Option<&'static str> {
    let is_root = rustix::process::geteuid().is_root();
    match watcher {
        Watcher::Ours | Watcher::Bpftrace if !is_root => Some("needs root"),
        Watcher::Nobody | Watcher::Ours => None,
        Watcher::Bpftrace => (!is_installed("bpftrace")).then_some("needs bpftrace"),
    }
}

/// The tracer of a process. Nobody is no tracer.
pub fn observer(
    watcher: Watcher,
    pid: u32,
    probe_user: &Path,
    hook: &Path,
) -> anyhow::Result<Option<Observer>> {
    Ok(match watcher {
        Watcher::Nobody => None,
        Watcher::Ours => {
            let no_options: [&str; 0] = [];
            Some(Observer::trace(
                "probe-user",
                "hook",
                probe_user,
                pid,
                &no_options,
            ))
        }
        Watcher::Bpftrace => Some(Observer::bpftrace("bpftrace", pid, &at_read_done(hook)?)),
    })
}

//! Processes, by number, executable or listening port.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use anyhow::{Context as _, bail};
use procfs::net::TcpState;
use procfs::process::{FDTarget, Process};

/// Number of a process in our PID namespace.
pub type Pid = i32;

/// Checks that a process exists, and that the number is not one of its threads.
pub fn by_pid(pid: Pid) -> anyhow::Result<Vec<Pid>> {
    let process = Process::new(pid).ok().filter(is_alive);
    let status = process.and_then(|process| process.status().ok());
    match status {
        Some(status) if status.tgid == pid => Ok(vec![pid]),
        Some(status) => bail!(
            "{pid} is a thread of process {}; all threads of a process are traced together",
            status.tgid
        ),
        None => bail!("there is no process {pid}"),
    }
}

/// Whether a process has a thread that goes on. Its first thread may end before the others, and is a zombie for a moment
/// when another one calls `execve(2)`.
fn is_alive(process: &Process) -> bool {
    process
        .stat()
        .is_ok_and(|stat| !matches!(stat.state, 'Z' | 'X') || stat.num_threads > 1)
}

/// Whether a process is `ancestor`, or was started by it or by what it started.
pub fn descends_from(pid: Pid, ancestor: Pid) -> bool {
    let mut pid = pid;
    while pid > 1 {
        let Ok(stat) = Process::new(pid).and_then(|process| process.stat()) else {
            return false;
        };
        if pid == ancestor || stat.pgrp == ancestor {
            return true;
        }
        pid = stat.ppid;
    }
    false
}

/// A process, and what it has started and what these have, as far as the kernel says (`CONFIG_PROC_CHILDREN`).
pub fn descendants(pid: Pid) -> Vec<Pid> {
    let mut found = vec![pid];
    let mut next = 0;
    while let Some(pid) = found.get(next).copied() {
        next += 1;
        let tasks = Process::new(pid).and_then(|process| process.tasks());
        let children = tasks.into_iter().flatten().flatten();
        let children = children.filter_map(|task| task.children().ok()).flatten();
        found.extend(children.filter_map(|child| Pid::try_from(child).ok()));
    }
    found
}

/// The processes that run an executable: the very file, however it was named when started.
pub fn by_executable(path: &Path) -> anyhow::Result<Vec<Pid>> {
    let wanted = fs::metadata(path).with_context(|| format!("cannot find {}", path.display()))?;
    let found: Vec<Pid> = procfs::process::all_processes()?
        .flatten()
        .map(|process| process.pid)
        .filter(|pid| {
            fs::metadata(format!("/proc/{pid}/exe"))
                .is_ok_and(|exe| (exe.dev(), exe.ino()) == (wanted.dev(), wanted.ino()))
        })
        .collect();
    if found.is_empty() {
        bail!("no process runs {}", path.display());
    }
    Ok(found)
}

/// The processes that listen on a TCP port.
pub fn by_port(port: u16) -> anyhow::Result<Vec<Pid>> {
    let sockets: Vec<u64> = procfs::net::tcp()?
        .into_iter()
        .chain(procfs::net::tcp6().unwrap_or_default())
        .filter(|entry| entry.state == TcpState::Listen && entry.local_address.port() == port)
        .map(|entry| entry.inode)
        .collect();
    if sockets.is_empty() {
        bail!("no process listens on TCP port {port}");
    }
    let found: Vec<Pid> = procfs::process::all_processes()?
        .flatten()
        .filter(|process| has_socket(process, &sockets))
        .map(|process| process.pid)
        .collect();
    if found.is_empty() {
        bail!("port {port} is listened on, but not by a process that can be seen from here");
    }
    Ok(found)
}

fn has_socket(process: &Process, sockets: &[u64]) -> bool {
    process.fd().is_ok_and(|descriptors| {
        descriptors.flatten().any(
            |descriptor| matches!(descriptor.target, FDTarget::Socket(inode) if sockets.contains(&inode)),
        )
    })
}

/// Whether we live in the root PID namespace, whose numbers the eBPF side sees. Its inode is fixed:
/// `PROC_PID_INIT_INO` in the kernel's `include/linux/proc_ns.h`.
pub fn in_root_pid_namespace() -> bool {
    const PROC_PID_INIT_INO: u64 = 0xEFFF_FFFC;
    fs::metadata("/proc/self/ns/pid").is_ok_and(|namespace| namespace.ino() == PROC_PID_INIT_INO)
}

#[cfg(test)]
mod tests;

//! Which processes there are, and whether they are still what they were.

use procfs::process::{Process, StatFlags};
use serde::{Deserialize, Serialize};

use crate::discover::processes::Pid;

/// One program's time in one process. Another process that gets the same number, and another program that the process
/// executes, are other generations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Generation {
    /// The process.
    pub pid: Pid,
    /// When it was started, in clock ticks since boot.
    pub start_ticks: u64,
    /// Addresses of its first program's stack and code, which the kernel draws anew for each program that is executed.
    addresses: (u64, u64),
}

impl Generation {
    /// That of a process now. `None` for one that has ended, or belongs to the kernel.
    pub fn of(pid: Pid) -> Option<Self> {
        Self::of_process(&Process::new(pid).ok()?)
    }

    fn of_process(process: &Process) -> Option<Self> {
        let stat = process.stat().ok()?;
        let is_kernels = StatFlags::from_bits_truncate(stat.flags).contains(StatFlags::PF_KTHREAD);
        let has_ended = matches!(stat.state, 'Z' | 'X' | 'x');
        (!is_kernels && !has_ended).then_some(Self {
            pid: stat.pid,
            start_ticks: stat.starttime,
            addresses: (stat.startstack, stat.startcode),
        })
    }

    /// When it was started, in seconds since boot, as [`since_boot_s`] tells them.
    pub fn started_s(&self) -> f64 {
        self.start_ticks as f64 / procfs::ticks_per_second() as f64
    }
}

/// Seconds since boot, sleep included: the clock that processes' starts are told in.
pub fn since_boot_s() -> f64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    now.tv_sec as f64 + now.tv_nsec as f64 / 1e9
}

/// All processes that can be seen from here.
pub fn all() -> anyhow::Result<Vec<Generation>> {
    let processes = procfs::process::all_processes()?;
    Ok(processes
        .flatten()
        .filter_map(|process| Generation::of_process(&process))
        .collect())
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    fn generation(pid: u32) -> Generation {
        Generation::of(Pid::try_from(pid).unwrap()).unwrap()
    }

    #[test]
    fn another_program_is_another_generation() {
        let own = generation(std::process::id());
        assert_eq!(own, generation(std::process::id()));
        assert!(all().unwrap().contains(&own));
        // The shell executes sleep when it gets a line.
        let mut child = Command::new("sh")
            .args(["-c", "read line; exec sleep 60"])
            .stdin(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let before = generation(child.id());
        drop(child.stdin.take());
        let changed = (0..1_000).any(|_| {
            std::thread::sleep(std::time::Duration::from_millis(10));
            generation(child.id()) != before
        });
        let after = generation(child.id());
        child.kill().unwrap();
        // Not waited for yet: a process that has ended.
        let has_gone = (0..1_000).any(|_| {
            std::thread::sleep(std::time::Duration::from_millis(10));
            Generation::of(before.pid).is_none()
        });
        child.wait().unwrap();
        assert!(changed && has_gone);
        assert_eq!(before.start_ticks, after.start_ticks);
    }
}

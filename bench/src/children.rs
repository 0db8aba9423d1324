//! Children that SIGINT reaches, however we were started ourselves, and the CPUs that they run on.
#![allow(
    unsafe_code,
    reason = "a signal's disposition is set between fork and exec"
)]

use std::io;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use anyhow::Context as _;
use rustix::process::{Signal, set_parent_process_death_signal};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// Has a child begin with SIGINT as it is by default. A program that a shell runs in the background begins
/// with SIGINT ignored, and its children inherit that; shells cannot even trap a signal then.
pub fn interruptible(command: &mut Command) -> &mut Command {
    // SAFETY: the closure makes one system call and nothing else: no allocation, no lock.
    unsafe { command.pre_exec(take_interrupts) }
}

fn take_interrupts() -> io::Result<()> {
    // SAFETY: no handler is installed, only the default put back.
    if unsafe { libc::signal(libc::SIGINT, libc::SIG_DFL) } == libc::SIG_ERR {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Has a child end when we end, even by SIGKILL.
pub fn ends_with_us(command: &mut Command) -> &mut Command {
    let dies = || Ok(set_parent_process_death_signal(Some(Signal::TERM))?);
    // SAFETY: as above.
    unsafe { command.pre_exec(dies) }
}

/// Binds this thread, and the children that it starts from now on, to a CPU.
pub fn pin_to(cpu: usize) -> anyhow::Result<()> {
    anyhow::ensure!(cpu < CpuSet::MAX_CPU, "there is no CPU {cpu}");
    let mut set = CpuSet::new();
    set.set(cpu);
    sched_setaffinity(None, &set).with_context(|| format!("cannot run on CPU {cpu}"))
}

/// Does something bound to a CPU: children that it starts stay there.
pub fn on_cpu<T>(cpu: usize, start: impl FnOnce() -> anyhow::Result<T>) -> anyhow::Result<T> {
    let before = sched_getaffinity(None).context("cannot ask which CPUs are allowed")?;
    pin_to(cpu)?;
    let result = start();
    sched_setaffinity(None, &before).context("cannot go back to the CPUs from before")?;
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn children_stay_on_their_cpu_and_we_do_not() {
        let before = sched_getaffinity(None).unwrap();
        let cpu = (0..CpuSet::MAX_CPU).find(|cpu| before.is_set(*cpu));
        let cpu = cpu.unwrap();
        let script = "grep Cpus_allowed_list /proc/self/status";
        let child = || Ok(Command::new("sh").args(["-c", script]).output()?);
        let output = on_cpu(cpu, child).unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert_eq!(text.split_whitespace().nth(1), Some(&*cpu.to_string()));
        assert!(sched_getaffinity(None).unwrap() == before);
        assert!(pin_to(1 << 20).is_err());
    }
}

//! The machine: what the manifest says of it, and which CPUs do what.

use std::fs;
use std::sync::OnceLock;
use std::time::Instant;

use anyhow::Context as _;
use procfs::{Current as _, CurrentSI as _};
use runlog::manifest::{Environment, Placement, Scheduling};
use rustix::process::Pid;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use rustix::time::{ClockId, clock_gettime};

use crate::cgroup::{Controller, Groups};

/// The machine's own name.
pub fn node_name() -> String {
    let system = rustix::system::uname();
    system.nodename().to_string_lossy().into_owned()
}

/// Nanoseconds on `CLOCK_MONOTONIC`.
pub fn monotonic_ns() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec.cast_unsigned() * 1_000_000_000 + now.tv_nsec.cast_unsigned()
}

/// Nanoseconds since 1970.
pub fn unix_ns() -> u64 {
    let now = clock_gettime(ClockId::Realtime);
    now.tv_sec.cast_unsigned() * 1_000_000_000 + now.tv_nsec.cast_unsigned()
}

/// Describes the machine. What cannot be found out stays empty.
pub fn environment() -> Environment {
    let system = rustix::system::uname();
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    Environment {
        kernel: system.release().to_string_lossy().into_owned(),
        architecture: system.machine().to_string_lossy().into_owned(),
        cpu_model: cpuinfo_field(&cpuinfo, "model name").unwrap_or_default(),
        cpus: cpuinfo
            .lines()
            .filter(|line| line.starts_with("processor"))
            .count()
            .max(1),
        virtual_machine: cpuinfo_field(&cpuinfo, "flags")
            .is_some_and(|flags| flags.split(' ').any(|flag| flag == "hypervisor")),
        clock_source: line_of("/sys/devices/system/clocksource/clocksource0/current_clocksource")
            .unwrap_or_default(),
        governor: line_of("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
        cgroup_cpu_limit: Groups::of("self", Controller::Cpu).cpu_limit(),
        cgroup_memory_limit: Groups::of("self", Controller::Memory).memory_limit(),
        load_average: procfs::LoadAverage::current().map_or(0.0, |load| f64::from(load.one)),
        steal_ms: None,
        clock_read_ns: clock_read_ns(),
    }
}

/// CPU time that the hypervisor has given to others since boot, in milliseconds over all CPUs.
pub fn steal_ms() -> Option<u64> {
    procfs::KernelStats::current().ok()?.total.steal_ms()
}

fn cpuinfo_field(cpuinfo: &str, name: &str) -> Option<String> {
    cpuinfo.lines().find_map(|line| {
        let (field, value) = line.split_once(':')?;
        (field.trim() == name).then(|| value.trim().to_owned())
    })
}

/// The first line of a file, if there is anything in it.
pub fn line_of(path: &str) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    let line = text.lines().next()?.trim();
    (!line.is_empty()).then(|| line.to_owned())
}

/// Mean cost of reading the clock, the least of several tries: interrupts only ever add.
fn clock_read_ns() -> f64 {
    const READS: u32 = 10_000;
    (0..20)
        .map(|_| {
            let start = Instant::now();
            for _ in 0..READS {
                std::hint::black_box(monotonic_ns());
            }
            start.elapsed().as_nanos() as f64 / f64::from(READS)
        })
        .fold(f64::INFINITY, f64::min)
}

/// How to place servers, load generator and agent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Policy {
    /// One core at one connection, two at more
    #[default]
    Auto,
    /// Servers and load generator share one core
    OneCore,
    /// Servers on one core, load generator on another
    TwoCores,
    /// The kernel decides
    Free,
}

/// The CPUs that this process was started on. A run binds us to the agent's, and the next run of a series
/// must have all of them again.
fn allowed_cpus() -> anyhow::Result<&'static [usize]> {
    static ALLOWED: OnceLock<Vec<usize>> = OnceLock::new();
    if let Some(allowed) = ALLOWED.get() {
        return Ok(allowed);
    }
    let affinity = sched_getaffinity(None).context("cannot read the CPU affinity")?;
    let allowed = (0..CpuSet::MAX_CPU).filter(|cpu| affinity.is_set(*cpu));
    Ok(ALLOWED.get_or_init(|| allowed.collect()))
}

/// Chooses CPUs among those that this process may use.
pub fn place(policy: Policy, connections: usize) -> anyhow::Result<Placement> {
    Ok(placement(policy, connections, allowed_cpus()?))
}

/// Chooses CPUs for two arms at once: one for each, which its server and its client share.
pub fn place_duet() -> anyhow::Result<Placement> {
    duet_placement(allowed_cpus()?, core_of)
        .context("--order duet runs two arms at once, and there is one CPU; rmit needs no more")
}

/// The hardware threads of a CPU's core, as the kernel writes them.
pub fn core_of(cpu: usize) -> String {
    line_of(&format!(
        "/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list"
    ))
    .unwrap_or_else(|| cpu.to_string())
}

/// Two CPUs of different cores where there are; `None` below two CPUs.
fn duet_placement(allowed: &[usize], core_of: impl Fn(usize) -> String) -> Option<Placement> {
    let (&last, others) = allowed.split_last()?;
    let core = core_of(last);
    let other_core = others.iter().rev().find(|cpu| core_of(**cpu) != core);
    let (&first, how) = match other_core {
        Some(cpu) => (cpu, "a core"),
        None => (others.last()?, "a hardware thread of one core"),
    };
    let rest: Vec<usize> = others.iter().copied().filter(|cpu| *cpu != first).collect();
    Some(Placement {
        policy: format!(
            "two arms at once, each on {how} that its server and its client share; sides are swapped in \
             every second round"
        ),
        sut_cpus: vec![first, last],
        loadgen_cpus: vec![first, last],
        agent_cpus: if rest.is_empty() {
            vec![first, last]
        } else {
            rest
        },
        scheduling: Scheduling::Fair,
    })
}

fn placement(policy: Policy, connections: usize, allowed: &[usize]) -> Placement {
    let Some((&last, others)) = allowed.split_last() else {
        return Placement::default();
    };
    let alone = |cpus: &[usize]| {
        if cpus.is_empty() {
            vec![last]
        } else {
            cpus.to_vec()
        }
    };
    let one_core = match policy {
        Policy::Free => {
            return Placement {
                policy: "left to the kernel".to_owned(),
                sut_cpus: allowed.to_vec(),
                loadgen_cpus: allowed.to_vec(),
                agent_cpus: allowed.to_vec(),
                scheduling: Scheduling::Fair,
            };
        }
        Policy::OneCore => true,
        Policy::TwoCores => others.is_empty(),
        Policy::Auto => connections == 1 || others.is_empty(),
    };
    if one_core {
        return Placement {
            policy: "servers and load generator share one core, so that no request waits for an \
                     idle core to wake"
                .to_owned(),
            sut_cpus: vec![last],
            loadgen_cpus: vec![last],
            agent_cpus: alone(others),
            scheduling: Scheduling::Fair,
        };
    }
    let (&loadgen, rest) = others.split_last().unwrap_or((&last, &[]));
    Placement {
        policy: "servers on one core, load generator on another".to_owned(),
        sut_cpus: vec![last],
        loadgen_cpus: vec![loadgen],
        agent_cpus: if rest.is_empty() {
            vec![loadgen]
        } else {
            rest.to_vec()
        },
        scheduling: Scheduling::Fair,
    }
}

/// Binds this thread, and what it starts from now on, to CPUs.
pub fn bind_to(cpus: &[usize]) -> anyhow::Result<()> {
    let mut set = CpuSet::new();
    for cpu in cpus {
        set.set(*cpu);
    }
    sched_setaffinity(None, &set).with_context(|| format!("cannot bind to CPUs {cpus:?}"))
}

/// Binds all threads of a process to CPUs. Threads that end meanwhile do not matter.
pub fn bind_process_to(pid: i32, cpus: &[usize]) -> anyhow::Result<()> {
    let mut set = CpuSet::new();
    for cpu in cpus {
        set.set(*cpu);
    }
    let threads = format!("/proc/{pid}/task");
    let entries = fs::read_dir(&threads).with_context(|| format!("cannot list {threads}"))?;
    for thread in entries.flatten() {
        let number = thread.file_name().to_string_lossy().parse().ok();
        let Some(number) = number.and_then(Pid::from_raw) else {
            continue;
        };
        match sched_setaffinity(Some(number), &set) {
            Ok(()) | Err(rustix::io::Errno::SRCH) => {}
            Err(error) => {
                return Err(error).with_context(|| {
                    format!(
                        "cannot bind thread {} to CPUs {cpus:?}",
                        number.as_raw_nonzero()
                    )
                });
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;

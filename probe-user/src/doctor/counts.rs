//! What the kernel counts, before and after a while.

use std::collections::BTreeMap;

use procfs::process::all_processes;
use procfs::{CurrentSI as _, KernelStats};

use crate::cgroup::{Controller, Groups};
use crate::machine::monotonic_ns;
use probes::discover::container::Home;
use probes::discover::processes::Pid;

/// A process that can be seen from here.
#[derive(Clone, Debug)]
struct Seen {
    name: String,
    cpu_ticks: u64,
    home: Home,
}

/// Counters that only ever rise.
#[derive(Clone, Debug)]
pub struct Counts {
    at_ns: u64,
    busy_ticks: Option<u64>,
    stolen_ticks: Option<u64>,
    throttled_periods: Option<u64>,
    memory_limit_hits: Option<u64>,
    processes: BTreeMap<Pid, Seen>,
}

/// What happened in between.
#[derive(Clone, Debug, Default)]
pub struct During {
    /// How long it was.
    pub seconds: f64,
    /// CPU time that others than this process used, in CPUs.
    pub busy_cpus: Option<f64>,
    /// CPU time that the hypervisor gave to others, in CPUs.
    pub stolen_cpus: Option<f64>,
    /// How often a CPU limit kept this process' groups from running: in between, and before.
    pub throttled_periods: Option<[u64; 2]>,
    /// How often their memory limit was hit: in between, and before.
    pub memory_limit_hits: Option<[u64; 2]>,
    /// Processes that can be seen, the busiest first, with the CPUs that each used.
    pub busiest: Vec<(String, f64)>,
    /// Names of all processes that can be seen.
    pub names: Vec<String>,
    /// Containers, and pods, other than ours, that can be seen.
    pub other_homes: usize,
}

impl Counts {
    /// As they are now.
    pub fn now() -> Self {
        let total = KernelStats::current().ok().map(|stats| stats.total);
        Self {
            at_ns: monotonic_ns(),
            busy_ticks: total.as_ref().map(|cpu| {
                cpu.user + cpu.nice + cpu.system + cpu.irq.unwrap_or(0) + cpu.softirq.unwrap_or(0)
            }),
            stolen_ticks: total.as_ref().and_then(|cpu| cpu.steal),
            throttled_periods: Groups::of("self", Controller::Cpu).throttled_periods(),
            memory_limit_hits: Groups::of("self", Controller::Memory).memory_limit_hits(),
            processes: processes(),
        }
    }

    /// What happened since.
    pub fn since(&self, before: &Self) -> During {
        let seconds = self.at_ns.saturating_sub(before.at_ns) as f64 / 1e9;
        let cpus = |ticks: u64| ticks as f64 / procfs::ticks_per_second() as f64 / seconds;
        let rise = |after: Option<u64>, before: Option<u64>| Some(after?.saturating_sub(before?));
        let rise_and_before = |after, before: Option<u64>| Some([rise(after, before)?, before?]);
        let own = Pid::try_from(std::process::id()).unwrap_or_default();
        let used = |pid: &Pid, seen: &Seen| {
            let before_ticks = before.processes.get(pid).map_or(0, |seen| seen.cpu_ticks);
            seen.cpu_ticks.saturating_sub(before_ticks)
        };
        let own_ticks = self.processes.get(&own).map_or(0, |seen| used(&own, seen));
        let mut busiest: Vec<(String, f64)> = self
            .processes
            .iter()
            .filter(|(pid, _)| **pid != own && before.processes.contains_key(pid))
            .map(|(pid, seen)| (seen.name.clone(), cpus(used(pid, seen))))
            .filter(|(_, cpus)| *cpus > 0.0)
            .collect();
        busiest.sort_by(|(_, one), (_, other)| other.total_cmp(one));
        During {
            seconds,
            busy_cpus: rise(self.busy_ticks, before.busy_ticks)
                .map(|ticks| cpus(ticks.saturating_sub(own_ticks))),
            stolen_cpus: rise(self.stolen_ticks, before.stolen_ticks).map(cpus),
            throttled_periods: rise_and_before(self.throttled_periods, before.throttled_periods),
            memory_limit_hits: rise_and_before(self.memory_limit_hits, before.memory_limit_hits),
            busiest,
            names: self
                .processes
                .values()
                .map(|seen| seen.name.clone())
                .collect(),
            other_homes: self.other_homes(own),
        }
    }

    fn other_homes(&self, own: Pid) -> usize {
        let ours = self.processes.get(&own).map(|seen| &seen.home);
        let homes = self.processes.values().map(|seen| &seen.home);
        let others: std::collections::BTreeSet<&str> = homes
            .filter(|home| Some(*home) != ours && !home.container.is_empty())
            .map(|home| {
                if home.pod.is_empty() {
                    home.short_container()
                } else {
                    &home.pod
                }
            })
            .filter(|id| ours.is_none_or(|ours| ours.pod != *id))
            .collect();
        others.len()
    }
}

/// The processes that can be seen; one that ends meanwhile is left out.
fn processes() -> BTreeMap<Pid, Seen> {
    let Ok(all) = all_processes() else {
        return BTreeMap::new();
    };
    all.flatten()
        .filter_map(|process| {
            let stat = process.stat().ok()?;
            let seen = Seen {
                name: stat.comm,
                cpu_ticks: stat.utime + stat.stime,
                home: Home::of(process.pid).unwrap_or_default(),
            };
            Some((process.pid, seen))
        })
        .collect()
}

#[cfg(test)]
mod tests;

//! Limits that a run comes up against: what the kernel has counted before and after.

use procfs::process::{LimitValue, Process};
use runlog::manifest::Resources;

use crate::cgroup::{Controller, Groups};
use crate::machine::{self, monotonic_ns};
use crate::run::listen_drops::ListenDrops;
use probes::discover::processes::Pid;

/// Counters that only ever rise.
#[derive(Clone, Debug, Default)]
struct Counted {
    throttled_periods: Option<u64>,
    memory_limit_hits: Option<u64>,
    listen_drops: Option<ListenDrops>,
    loadgen_ticks: Option<u64>,
    servers_ticks: Option<u64>,
    stolen_ms: Option<u64>,
    at_ns: u64,
}

/// Watches the limits of a run.
#[derive(Debug)]
pub struct Watch {
    servers: Vec<Pid>,
    loadgen: Option<Pid>,
    before: Counted,
    descriptors: Option<f64>,
    /// Time in which requests were sent, over all threads.
    busy_ns: u64,
    block_began_ns: u64,
    /// How many threads of the load generator send requests.
    sides: u32,
}

impl Watch {
    /// Begins.
    pub fn begin(servers: Vec<Pid>, loadgen: Option<Pid>) -> Self {
        let before = counted(&servers, loadgen);
        Self {
            servers,
            loadgen,
            before,
            descriptors: None,
            busy_ns: 0,
            block_began_ns: 0,
            sides: 1,
        }
    }

    /// Requests are being sent from now on, by so many threads.
    pub fn block_begins(&mut self, sides: u32) {
        self.sides = sides;
        self.block_began_ns = monotonic_ns();
    }

    /// Until now.
    pub fn block_ends(&mut self) {
        let took_ns = monotonic_ns().saturating_sub(self.block_began_ns);
        self.busy_ns += took_ns * u64::from(self.sides);
    }

    /// Looks at how many descriptors are open now.
    pub fn look(&mut self) {
        for server in &self.servers {
            if let Some(share) = descriptors(*server) {
                let most = self.descriptors.map_or(share, |most| most.max(share));
                self.descriptors = Some(most);
            }
        }
    }

    /// What was found, while all processes are still there.
    pub fn finish(&self) -> Resources {
        let after = counted(&self.servers, self.loadgen);
        let before = &self.before;
        let rise = |before: Option<u64>, after: Option<u64>| Some(after?.saturating_sub(before?));
        let ticks_per_second = procfs::ticks_per_second();
        let busy_s = self.busy_ns as f64 / 1e9;
        let busy = |before: Option<u64>, after: Option<u64>| {
            let used_s = rise(before, after)? as f64 / ticks_per_second as f64;
            (busy_s > 0.0).then(|| used_s / busy_s)
        };
        let cpus = std::thread::available_parallelism().map_or(1, usize::from);
        let all_ms = after.at_ns.saturating_sub(before.at_ns) as f64 / 1e6 * cpus as f64;
        Resources {
            throttled_periods: rise(before.throttled_periods, after.throttled_periods),
            memory_limit_hits: rise(before.memory_limit_hits, after.memory_limit_hits),
            listen_overflows: (after.listen_drops.as_ref())
                .zip(before.listen_drops.as_ref())
                .map(|(after, before)| after.since(before)),
            descriptors: self.descriptors,
            loadgen_busy: busy(before.loadgen_ticks, after.loadgen_ticks),
            servers_busy: busy(before.servers_ticks, after.servers_ticks),
            stolen: rise(before.stolen_ms, after.stolen_ms)
                .filter(|_| all_ms > 0.0)
                .map(|ms| ms as f64 / all_ms),
        }
    }
}

fn counted(servers: &[Pid], loadgen: Option<Pid>) -> Counted {
    let over_servers = |count: fn(&str) -> Option<u64>| {
        let counts = servers.iter().filter_map(|pid| count(&pid.to_string()));
        // Servers in one cgroup have one counter; adding it up is no matter, as it is held against 0.
        counts.reduce(|all, one| all + one)
    };
    Counted {
        throttled_periods: over_servers(throttled_periods),
        memory_limit_hits: over_servers(memory_limit_hits),
        listen_drops: ListenDrops::of(servers),
        loadgen_ticks: loadgen.and_then(cpu_ticks),
        servers_ticks: servers.iter().map(|pid| cpu_ticks(*pid)).sum(),
        stolen_ms: machine::steal_ms(),
        at_ns: monotonic_ns(),
    }
}

fn throttled_periods(process: &str) -> Option<u64> {
    Groups::of(process, Controller::Cpu).throttled_periods()
}

fn memory_limit_hits(process: &str) -> Option<u64> {
    Groups::of(process, Controller::Memory).memory_limit_hits()
}

fn cpu_ticks(pid: Pid) -> Option<u64> {
    let stat = Process::new(pid).and_then(|process| process.stat()).ok()?;
    Some(stat.utime + stat.stime)
}

/// Open descriptors as a share of what the process may have.
fn descriptors(pid: Pid) -> Option<f64> {
    let process = Process::new(pid).ok()?;
    let open = process.fd_count().ok()?;
    match process.limits().ok()?.max_open_files.soft_limit {
        LimitValue::Value(limit) => Some(open as f64 / limit as f64),
        LimitValue::Unlimited => Some(0.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_says_what_this_process_uses() {
        let own = Pid::try_from(std::process::id()).unwrap();
        let mut watch = Watch::begin(vec![own], Some(own));
        watch.block_begins(1);
        let until_ns = monotonic_ns() + 50_000_000;
        while monotonic_ns() < until_ns {}
        watch.block_ends();
        watch.look();
        let found = watch.finish();
        let descriptors = found.descriptors.unwrap();
        assert!(descriptors > 0.0 && descriptors < 1.0, "{found:?}");
        assert!(found.loadgen_busy.unwrap() > 0.1, "{found:?}");
        assert!(found.listen_overflows.is_some(), "{found:?}");
    }
}

//! How a run was set up: `manifest.json`. Written before the first request, completed at the end.

use serde::{Deserialize, Serialize};

use crate::calibration::Calibration;
use crate::clock::Clock;
use crate::doctor::Checkups;
use crate::order::Order;
use crate::role::Role;

/// Version of this shape.
pub const SCHEMA: &str = "hookprobe/manifest/1";

/// The set-up of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// [`SCHEMA`].
    pub schema: String,
    /// Version of hookprobe.
    pub version: String,
    /// The command line.
    pub command: Vec<String>,
    /// Wall-clock time at the start, in nanoseconds since 1970.
    pub started_unix_ns: u64,
    /// `CLOCK_MONOTONIC` at the same instant.
    pub started_monotonic_ns: u64,
    /// Which clock that is, and the instants of the span log; null where that was not found out.
    #[serde(default)]
    pub clock: Option<Clock>,
    /// `running`, `complete`, or why the run ended early.
    pub ended: String,
    /// The machine.
    pub environment: Environment,
    /// Which CPUs did what.
    pub placement: Placement,
    /// The arms; logs refer to them by position.
    pub arms: Vec<Arm>,
    /// How requests were laid out.
    pub schedule: Schedule,
    /// The probes, or null when there were none.
    pub probes: Option<Probes>,
    /// Limits that the run came up against, known at its end; null before.
    #[serde(default)]
    pub resources: Option<Resources>,
    /// What `probe-user doctor` found before and after; null where it did not look.
    #[serde(default)]
    pub doctor: Option<Checkups>,
    /// What the probes add on this machine; null without probes, or if not asked for.
    pub calibration: Option<Calibration>,
}

/// The machine that a run was made on.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Environment {
    /// Kernel release, as `uname -r`.
    pub kernel: String,
    /// Architecture, as `uname -m`.
    pub architecture: String,
    /// CPU model.
    pub cpu_model: String,
    /// CPUs online.
    pub cpus: usize,
    /// Whether the CPU says that a hypervisor runs below it.
    pub virtual_machine: bool,
    /// Clock source of the kernel.
    pub clock_source: String,
    /// CPU frequency governor of CPU 0, where the kernel has one.
    pub governor: Option<String>,
    /// CPU limit of the cgroup in CPUs, where there is one.
    pub cgroup_cpu_limit: Option<f64>,
    /// Memory limit of the cgroup in bytes, where there is one.
    pub cgroup_memory_limit: Option<u64>,
    /// Load average over one minute at the start.
    pub load_average: f64,
    /// CPU time that the hypervisor gave to others during the run, in milliseconds over all CPUs.
    pub steal_ms: Option<u64>,
    /// Mean cost of one `clock_gettime(CLOCK_MONOTONIC)` on this machine, in nanoseconds.
    pub clock_read_ns: f64,
}

impl Environment {
    /// Whether reading the clock takes so long that it cannot be a read in user space. With the clock sources `hpet` and `acpi_pm`
    /// it is a system call.
    pub fn has_slow_clock(&self) -> bool {
        self.clock_read_ns > 200.0
    }
}

/// Limits that a run came up against while requests were sent. What cannot be found out is null.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Resources {
    /// How often a cgroup of a server was kept from running, as its CPU time was used up.
    pub throttled_periods: Option<u64>,
    /// How often a cgroup of a server came up against its memory limit.
    pub memory_limit_hits: Option<u64>,
    /// Attempts to connect that the servers' own listening sockets turned away, nearly always because a queue was full.
    /// In older runs these are of all sockets of the servers' network namespace.
    pub listen_overflows: Option<u64>,
    /// The most descriptors that a server had open, as a share of what it may.
    pub descriptors: Option<f64>,
    /// Share of the blocks' time that the load generator was running. Near 1 it, and not the server,
    /// decides about response times.
    pub loadgen_busy: Option<f64>,
    /// Share of CPU time that the hypervisor gave to others.
    pub stolen: Option<f64>,
}

/// Which CPUs the parts of a run were bound to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Placement {
    /// In words.
    pub policy: String,
    /// CPUs of the servers.
    pub sut_cpus: Vec<usize>,
    /// CPUs of the load generator.
    pub loadgen_cpus: Vec<usize>,
    /// CPUs of the agent that drains the probes.
    pub agent_cpus: Vec<usize>,
    /// How the kernel schedules servers and load generator.
    #[serde(default)]
    pub scheduling: Scheduling,
}

/// A scheduling policy (`sched(7)`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Scheduling {
    /// `SCHED_OTHER`, as programs usually run.
    #[default]
    Fair,
    /// `SCHED_FIFO` with the lowest priority: ahead of all that is not real-time, and without accounts of who
    /// has had how much of a core.
    Fifo,
    /// `SCHED_BATCH`: no program is preempted by one that wakes up. It needs no right.
    Batch,
}

/// One arm.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Arm {
    /// Its name.
    pub name: String,
    /// Its part in the run; null in runs of versions that did not write it down: there its name tells.
    #[serde(default)]
    pub role: Option<Role>,
    /// Where its requests go; where there are several servers, to the first of them.
    pub url: String,
    /// The processes that serve it.
    pub pids: Vec<i32>,
    /// The hook that was preloaded, or null.
    pub hook: Option<String>,
    /// The hook's settings, as `NAME=value`.
    pub hook_environment: Vec<String>,
    /// Which of the functions that read connections the hook stands in front of; empty in runs of earlier versions.
    #[serde(default)]
    pub hook_functions: Vec<String>,
}

impl Manifest {
    /// Name of the first arm that plays this part.
    pub fn name_of(&self, role: Role) -> &str {
        let arm = self.arms.iter().find(|arm| arm.role() == role);
        arm.map_or(role.name(), |arm| &arm.name)
    }
}

impl Arm {
    /// Its part in the run: by its name, where nothing else is known.
    pub fn role(&self) -> Role {
        self.role.unwrap_or_else(|| Role::of_arm(&self.name))
    }
}

/// How requests were laid out over arms and time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Schedule {
    /// Order of the blocks.
    pub order: Order,
    /// Seed of the random order.
    pub seed: u64,
    /// Connections at a time.
    pub connections: usize,
    /// Requests per arm, for each state of the probes; in a duet the first arm has as many in each pair; in a trial, on
    /// average.
    pub requests_per_cell: u64,
    /// Blocks per arm, for each state of the probes; in a duet the first arm has as many in each pair; in a trial each
    /// block has requests of all arms.
    pub blocks_per_cell: u32,
    /// Servers of each arm, which its blocks take in turn: round n has server n modulo this; in a duet,
    /// rounds 2n and 2n + 1 do.
    #[serde(default = "one")]
    pub servers_per_arm: u32,
    /// First requests of each arm and state that count as warm-up.
    pub warmup_requests: u64,
    /// First requests of each block that count as warm-up: the block's connections are new.
    pub block_warmup_requests: u64,
    /// How the arms of a trial are drawn, as `seed=1 size=256 run=1 arms=off,null,on`; null in other orders.
    #[serde(default)]
    pub trial: Option<String>,
}

/// The servers of an arm in runs that were made before there could be more.
fn one() -> u32 {
    1
}

/// The probes of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Probes {
    /// What brackets `read(2)` in the kernel.
    pub kernel_probe: String,
    /// What was passed over for it, and why.
    pub passed_over: Vec<PassedOver>,
    /// Offset into the hook's probe site that the kernel serves best, in bytes.
    pub site_offset: u64,
    /// What the kernel answered when asked for it.
    pub site_offset_reason: String,
    /// Size of the ring buffer in bytes.
    pub ring_bytes: u32,
    /// Kernel memory that the histograms take: arms × kinds of span × CPUs × size of a histogram.
    pub histogram_bytes: u64,
    /// CPUs that the machine can have; each has histograms of its own.
    pub possible_cpus: usize,
    /// How often the probes were attached and detached.
    pub attaches: u32,
}

/// A kernel probe that was not taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct PassedOver {
    /// Its name.
    pub kernel_probe: String,
    /// Why not.
    pub reason: String,
}

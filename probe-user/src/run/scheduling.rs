//! The scheduling policy of what is measured (`sched(7)`).
//!
//! Under the fair policy the kernel keeps accounts of who has had how much of a core. On one core, a server
//! that waits longer owes more of it to its client, and putting it to sleep and waking it again takes the kernel
//! longer: on Linux 6.18, 0.5 µs a request where the hook waits 100 µs, in every quantile alike. That is a cost of
//! the wait, and true of servers that run under this policy, but no part of the delay. Under `SCHED_FIFO`
//! it is gone.
#![allow(
    unsafe_code,
    reason = "no crate that is used here sets the scheduling policy"
)]

use std::io;

use anyhow::Context as _;
use runlog::manifest::{Placement, Scheduling};

/// The lowest real-time priority, which is above all that is not real-time.
const LOWEST_PRIORITY: libc::c_int = 1;

/// Sets the policy of this thread, and of what it starts from now on.
pub fn set(scheduling: Scheduling) -> anyhow::Result<()> {
    let (policy, sched_priority) = match scheduling {
        Scheduling::Fair => (libc::SCHED_OTHER, 0),
        Scheduling::Fifo => (libc::SCHED_FIFO, LOWEST_PRIORITY),
        Scheduling::Batch => (libc::SCHED_BATCH, 0),
    };
    let parameter = libc::sched_param { sched_priority };
    // SAFETY: 0 is this thread, and the parameter is alive and of the policy's range.
    let result = unsafe { libc::sched_setscheduler(0, policy, &raw const parameter) };
    if result == -1 {
        return Err(io::Error::last_os_error()).context(match scheduling {
            Scheduling::Fifo => {
                "--scheduling: the kernel refuses SCHED_FIFO, which takes root or CAP_SYS_NICE; --scheduling fair \
                 and batch need no right"
            }
            Scheduling::Batch | Scheduling::Fair => {
                "--scheduling: this process may not set its scheduling policy (sched_setscheduler)"
            }
        });
    }
    Ok(())
}

/// Whether the agent has a CPU where nothing of what is measured runs.
pub fn leaves_us_a_cpu(placement: &Placement) -> bool {
    let is_taken = |cpu| placement.sut_cpus.contains(cpu) || placement.loadgen_cpus.contains(cpu);
    placement.agent_cpus.iter().any(|cpu| !is_taken(cpu))
}

//! Which processes are traced, and whether anything is observed now.
#![allow(
    unsafe_code,
    reason = "map values are reached through raw pointers that the kernel's verifier checks"
)]

use aya_ebpf::helpers::bpf_get_current_pid_tgid;
use aya_ebpf::macros::map;
use aya_ebpf::maps::{Array, HashMap};
use probe_common::Target;
use probe_common::threads::{MAX_TARGETS, TARGET_SLOTS};

/// Whether new spans are to be observed: 1 from when all probes are attached until the first is
/// detached. So each span that is begun has both of its ends watched.
#[map]
static OBSERVING: Array<u32> = Array::with_max_entries(1, 0);

/// Slots of traced processes. This is what any other process's system calls are held against, so
/// it has to be quick.
#[map]
static TARGETS: Array<Target> = Array::with_max_entries(TARGET_SLOTS, 0);

/// The arms of traced processes whose slot another has.
#[map]
static MORE_TARGETS: HashMap<u32, u32> = HashMap::with_max_entries(MAX_TARGETS, 0);

/// The thread that runs.
#[derive(Clone, Copy)]
pub struct Current {
    pub tgid: u32,
    pub tid: u32,
}

#[inline(always)]
pub fn current() -> Current {
    let pid_tgid = bpf_get_current_pid_tgid();
    Current {
        tgid: (pid_tgid >> 32) as u32,
        tid: pid_tgid as u32,
    }
}

/// Whether new spans are observed.
#[inline(always)]
pub fn is_observing() -> bool {
    OBSERVING.get(0).is_some_and(|observing| *observing != 0)
}

/// The arm of a process; `None` when it is not traced.
#[inline(always)]
pub fn target(tgid: u32) -> Option<u32> {
    let slot = TARGETS.get(Target::slot_of(tgid))?;
    if slot.tgid == tgid {
        return Some(slot.arm);
    }
    if slot.is_shared == 0 {
        return None;
    }
    // SAFETY: entries are written by the agent before the probes are attached and not changed
    // while they are.
    unsafe { MORE_TARGETS.get(tgid) }.copied()
}

/// The arm of a process; `None` when it is not traced, or nothing is observed now.
#[inline(always)]
pub fn arm_of(tgid: u32) -> Option<u32> {
    if is_observing() { target(tgid) } else { None }
}

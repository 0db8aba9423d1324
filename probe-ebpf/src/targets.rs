//! Which processes are traced, and whether anything is observed now.
#![allow(
    unsafe_code,
    reason = "map values are reached through raw pointers that the kernel's verifier checks"
)]

use aya_ebpf::helpers::bpf_get_current_pid_tgid;
use aya_ebpf::macros::map;
use aya_ebpf::maps::HashMap;
use probe_common::Target;
use probe_common::threads::{MAX_TARGETS, TARGET_SLOTS};

use crate::slots::Slots;

// Only the agent writes to the next two tables. Reads are volatile, so that the compiler does not take
// for granted what nothing in the programs changes.

/// Whether new spans are to be observed: 1 from when all probes are attached until the first is
/// detached. So each span that is begun has both of its ends watched.
#[unsafe(no_mangle)]
#[unsafe(link_section = ".bss.observing")]
static OBSERVING: Slots<u32, 1> = Slots::new();

/// Slots of traced processes. This is what any other process's system calls are held against, so
/// it has to be quick.
#[unsafe(no_mangle)]
#[unsafe(link_section = ".bss.targets")]
static TARGETS: Slots<Target, { TARGET_SLOTS as usize }> = Slots::new();

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
    // SAFETY: the address is in the table.
    unsafe { OBSERVING.slot(0).read_volatile() != 0 }
}

/// The arm of a process; `None` when it is not traced.
#[inline(always)]
pub fn target(tgid: u32) -> Option<u32> {
    // SAFETY: the address is in the table.
    let slot = unsafe { &*TARGETS.slot(tgid) };
    // SAFETY: a field of it. Volatile, so that no more than what is asked for is loaded.
    let load = |field: *const u32| unsafe { field.read_volatile() };
    if load(&raw const slot.tgid) == tgid {
        return Some(load(&raw const slot.arm));
    }
    if load(&raw const slot.is_shared) == 0 {
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

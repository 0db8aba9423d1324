//! Which processes are traced, and whether anything is observed now.
#![allow(
    unsafe_code,
    reason = "map values are reached through raw pointers that the kernel's verifier checks"
)]
#![allow(
    clippy::multiple_unsafe_ops_per_block,
    reason = "a field's address and the look at it rest on one reason"
)]

use abi::Target;
use abi::threads::{MAX_TARGETS, TARGET_SLOTS};
use aya_ebpf::helpers::bpf_get_current_pid_tgid;
use aya_ebpf::macros::map;
use aya_ebpf::maps::HashMap;

use crate::slots::{Slots, peek};

// Only the agent writes to the next two tables.

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

/// Traced processes whose slot another has.
#[map]
static MORE_TARGETS: HashMap<u32, Target> = HashMap::with_max_entries(MAX_TARGETS, 0);

/// The thread that runs.
#[derive(Clone, Copy)]
pub struct Current {
    /// Process and thread, as the helper has them: one comparison tells both.
    pub pid_tgid: u64,
}

impl Current {
    #[inline(always)]
    pub fn tgid(self) -> u32 {
        (self.pid_tgid >> 32) as u32
    }

    #[inline(always)]
    pub fn tid(self) -> u32 {
        self.pid_tgid as u32
    }
}

#[inline(always)]
pub fn current() -> Current {
    Current {
        pid_tgid: bpf_get_current_pid_tgid(),
    }
}

/// Whether new spans are observed.
#[inline(always)]
pub fn is_observing() -> bool {
    // SAFETY: the address is in the table.
    unsafe { peek(OBSERVING.slot(0)) != 0 }
}

/// A traced process.
#[derive(Clone, Copy)]
pub struct Traced(*const Target);

impl Traced {
    #[inline(always)]
    pub fn arm(self) -> u32 {
        // SAFETY: the entry is there while its process runs.
        unsafe { peek(&raw const (*self.0).arm) }
    }

    #[inline(always)]
    pub fn has_hook(self) -> bool {
        // SAFETY: as in `arm`.
        unsafe { peek(&raw const (*self.0).has_hook) != 0 }
    }
}

/// A process; `None` when it is not traced.
#[inline(always)]
pub fn target(tgid: u32) -> Option<Traced> {
    let slot = TARGETS.slot(tgid).cast_const();
    // SAFETY: the address is in the table, as below.
    if unsafe { peek(&raw const (*slot).tgid) } == tgid {
        return Some(Traced(slot));
    }
    // SAFETY: as above.
    if unsafe { peek(&raw const (*slot).is_shared) } == 0 {
        return None;
    }
    // The agent removes an entry only when its process has ended.
    MORE_TARGETS.get_ptr(tgid).map(Traced)
}

/// A process; `None` when it is not traced, or nothing is observed now.
#[inline(always)]
pub fn observed(tgid: u32) -> Option<Traced> {
    if is_observing() { target(tgid) } else { None }
}

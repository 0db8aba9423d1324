//! What traced threads are doing.
#![allow(
    unsafe_code,
    reason = "map values are reached through raw pointers that the kernel's verifier checks"
)]
#![allow(
    clippy::multiple_unsafe_ops_per_block,
    reason = "a field's address and the look at it rest on one reason"
)]

use abi::Thread;
use abi::threads::{MAX_THREADS, THREAD_SLOTS};
use aya_ebpf::macros::map;
use aya_ebpf::maps::HashMap;

use crate::maps::BPF_NOEXIST;
use crate::slots::{Slots, peek};
use crate::tally::{give_lane_back, take_lane};
use crate::targets::Current;

/// Slots of threads.
#[unsafe(no_mangle)]
#[unsafe(link_section = ".bss.threads")]
static THREADS: Slots<Thread, { THREAD_SLOTS as usize }> = Slots::new();

/// The thread that has a slot. Its insertion is what decides who gets it: old kernels have no other
/// compare-and-exchange for programs.
#[map]
static THREAD_SLOT_OWNERS: HashMap<u32, u32> = HashMap::with_max_entries(THREAD_SLOTS, 0);

/// Threads whose slot another has.
#[map]
static MORE_THREADS: HashMap<u32, Thread> = HashMap::with_max_entries(MAX_THREADS, 0);

/// What the thread that runs is doing; `None` when it is not followed.
#[inline(always)]
pub fn thread(current: Current) -> Option<&'static mut Thread> {
    own_slot(current.tid(), |owner| owner == current.pid_tgid)
        .or_else(|| of_number(current.tid()).filter(|thread| thread.pid_tgid == current.pid_tgid))
}

/// What is known under a thread's number, be it of the thread that runs or of one that has had the number
/// before, in another process.
#[inline(always)]
pub fn of_number(tid: u32) -> Option<&'static mut Thread> {
    own_slot(tid, |owner| owner as u32 == tid).or_else(|| {
        let thread = MORE_THREADS.get_ptr_mut(tid)?;
        // SAFETY: as in `own_slot`, and the entry is removed only when the thread ends.
        Some(unsafe { &mut *thread })
    })
}

/// The slot of a number, if it is of the thread that is meant. There is no reference to it before that is known: others
/// write to theirs.
#[inline(always)]
fn own_slot(tid: u32, is_owner: impl Fn(u64) -> bool) -> Option<&'static mut Thread> {
    let slot = THREADS.slot(tid);
    // SAFETY: the address is in the table.
    let owner = unsafe { peek(&raw const (*slot).pid_tgid) };
    // SAFETY: only a thread of this number writes to its slot while the probes are attached.
    is_owner(owner).then(|| unsafe { &mut *slot })
}

/// Starts to follow a thread that is not followed. `None` when the table is full.
#[inline(always)]
pub fn follow(current: Current, arm: u32) -> Option<&'static mut Thread> {
    let thread = insert(current)?;
    begin(thread, current, arm);
    Some(thread)
}

/// Starts to follow a thread of a process where a thread of the same number was followed in another,
/// and its end was not seen.
#[inline(always)]
pub fn follow_anew(thread: &mut Thread, current: Current, arm: u32) {
    give_lane_back(thread);
    begin(thread, current, arm);
}

#[inline(always)]
fn begin(thread: &mut Thread, current: Current, arm: u32) {
    thread.pid_tgid = current.pid_tgid;
    thread.arm = arm;
    take_lane(thread);
}

#[inline(always)]
fn insert(current: Current) -> Option<&'static mut Thread> {
    let tid = current.tid();
    let slot = Thread::slot_of(tid);
    if THREAD_SLOT_OWNERS.insert(slot, tid, BPF_NOEXIST).is_ok() {
        // SAFETY: the slot is ours from now on.
        return Some(unsafe { &mut *THREADS.slot(slot) });
    }
    MORE_THREADS.insert(tid, Thread::default(), 0).ok()?;
    let thread = MORE_THREADS.get_ptr_mut(tid)?;
    // SAFETY: as in `of_number`.
    Some(unsafe { &mut *thread })
}

/// Stops following a thread.
#[inline(always)]
pub fn forget(thread: &mut Thread) {
    give_lane_back(thread);
    let tid = thread.tid();
    let slot = Thread::slot_of(tid);
    // SAFETY: owners change only with this slot, which is its thread's until the next two lines.
    if unsafe { THREAD_SLOT_OWNERS.get(slot) }.copied() == Some(tid) {
        *thread = Thread::default();
        let _ = THREAD_SLOT_OWNERS.remove(slot);
    } else {
        let _ = MORE_THREADS.remove(tid);
    }
}

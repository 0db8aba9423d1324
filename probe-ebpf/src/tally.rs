//! Where the programs add what they count and time: to the thread's lane, or to what is the CPU's.
#![allow(
    unsafe_code,
    reason = "map values are reached through raw pointers that the kernel's verifier checks"
)]

use abi::lane::{KINDS, lane_of};
use abi::{Counter, Lane, SpanKind, Thread};
use aya_ebpf::macros::map;
use aya_ebpf::maps::{Array, HashMap};

use crate::cells::{bucket, setting};
use crate::maps::{self, BPF_NOEXIST};

/// The lanes of all arms. The loader sets the number of entries.
#[map]
static LANES: Array<Lane> = Array::with_max_entries(1, 0);

/// The thread that has a lane. Its insertion decides who gets it, as for slots of threads. The loader
/// sets the number of entries.
#[map]
static LANE_OWNERS: HashMap<u32, u32> = HashMap::with_max_entries(1, 0);

/// Lanes of each arm, a power of two. Set by the loader.
#[unsafe(no_mangle)]
static LANES_PER_ARM: u32 = 1;

/// Has a thread that begins to be followed take its lane, unless another has it.
#[inline(always)]
pub fn take_lane(thread: &mut Thread) {
    let lane = lane_of(thread.arm, thread.tid(), setting(&LANES_PER_ARM));
    let is_ours = LANE_OWNERS.insert(lane, thread.tid(), BPF_NOEXIST).is_ok();
    thread.lane = if is_ours { lane + 1 } else { 0 };
}

/// Gives a thread's lane back, if it has one.
#[inline(always)]
pub fn give_lane_back(thread: &mut Thread) {
    if thread.lane != 0 {
        let _ = LANE_OWNERS.remove(thread.lane - 1);
        thread.lane = 0;
    }
}

/// Where a thread's hits are added up.
pub struct Tally {
    arm: u32,
    /// Only the thread that runs writes there, and a thread is in one program at a time: what it adds
    /// needs no atomic instruction. Lanes come from [`take_lane`] alone.
    lane: Option<&'static mut Lane>,
}

/// The lane of a thread, which must be the one that runs.
#[inline(always)]
pub fn lane_of_thread(thread: &Thread) -> Option<&'static mut Lane> {
    // No lane has the number that comes of having none.
    let lane = LANES.get_ptr_mut(thread.lane.wrapping_sub(1))?;
    // SAFETY: the verifier has seen the null check, and nobody else writes to the lane.
    Some(unsafe { &mut *lane })
}

impl Tally {
    /// Of a thread, which must be the one that runs, in a process of its arm.
    #[inline(always)]
    pub fn of(thread: &Thread) -> Self {
        Self {
            arm: thread.arm,
            lane: lane_of_thread(thread),
        }
    }

    /// Of the thread that has this lane, in a process of this arm.
    #[inline(always)]
    pub fn in_lane(arm: u32, lane: &'static mut Lane) -> Self {
        Self {
            arm,
            lane: Some(lane),
        }
    }

    /// Of a thread that is not followed, or has no lane.
    #[inline(always)]
    pub fn of_cpu(arm: u32) -> Self {
        Self { arm, lane: None }
    }

    /// The arm.
    #[inline(always)]
    pub fn arm(&self) -> u32 {
        self.arm
    }

    /// The lane, where there is one.
    #[inline(always)]
    pub fn lane(&mut self) -> Option<&mut Lane> {
        self.lane.as_deref_mut()
    }

    /// Raises a counter by one. Returns what it was, there.
    #[inline(always)]
    pub fn count(&mut self, counter: Counter) -> u64 {
        self.add(counter, 1)
    }

    /// Raises a counter. Returns what it was, there.
    #[inline(always)]
    pub fn add(&mut self, counter: Counter, amount: u64) -> u64 {
        match &mut self.lane {
            Some(lane) => {
                let cell = lane.counters.cell(counter);
                let before = *cell;
                *cell = before + amount;
                before
            }
            None => maps::raise(self.arm, counter, amount),
        }
    }

    /// Adds a span to the histogram and the sum of its kind.
    #[inline(always)]
    pub fn add_span(&mut self, kind: SpanKind, span_ns: u64) {
        match &mut self.lane {
            Some(lane) if (kind as usize) < KINDS => {
                if let Some(count) = lane.buckets[kind as usize].get_mut(bucket(span_ns)) {
                    *count += 1;
                }
                let sum_ns = &mut lane.sums_ns[kind as usize];
                *sum_ns = sum_ns.wrapping_add(span_ns);
            }
            _ => maps::add_span(self.arm, kind, span_ns),
        }
    }
}

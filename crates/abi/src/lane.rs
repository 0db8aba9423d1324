//! Lanes: what one thread adds to, and nobody else meanwhile.
//!
//! What all threads of a CPU add to takes an atomic instruction for each addition, as a program can be
//! preempted by another. A traced read makes a dozen additions, and atomic ones were half of what our
//! programs took. So the first threads of an arm each have a lane for as long as they are followed, and add
//! plainly there. A lane keeps what is in it when it passes to the next thread: results are sums over all
//! lanes and CPUs.

use zerocopy::{FromBytes, IntoBytes};

use crate::layout::BUCKETS;
use crate::{Counter, Counters, HookedRead, SpanKind};

/// Kinds of span that are in lanes: those of reads and writes.
pub const KINDS: usize = SpanKind::Function as usize;

/// The counters and spans of one arm that one thread adds to. What is small is in front: an eBPF
/// instruction reaches 32 KiB behind an address, and to reach farther takes two more.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes)]
#[repr(C)]
pub struct Lane {
    /// The ledger's counters.
    pub counters: Counters,
    /// The exact sums of the spans, in ns, by kind: all but [`SpanKind::Function`]. They are side by side, so that a
    /// program finds them in the cache.
    pub sums_ns: [u64; KINDS],
    /// Records that are not in the ring buffer yet.
    pub batch: Batch,
    /// How many spans fell into each bucket, by kind.
    pub buckets: [[u64; BUCKETS]; KINDS],
}

/// Words of records that a thread gathers: what is written to the ring buffer at once costs its lock
/// once. There is room for 16 hooked reads.
pub const BATCH_WORDS: usize = 16 * size_of::<HookedRead>() / 8;

/// Records that a thread has gathered.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes)]
#[repr(C)]
pub struct Batch {
    /// How many words there are.
    pub used: u64,
    /// How many spans the records are of, by kind.
    pub spans: [u64; Gathered::COUNT],
    /// The records, one behind the other.
    pub words: [u64; BATCH_WORDS],
}

/// What records are gathered of. All others are written at once. One record may be of a hooked read and of
/// its `read(2)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gathered {
    /// `read(2)`.
    Reads,
    /// Hooked reads.
    HookedReads,
    /// The write family.
    Writes,
}

impl Gathered {
    /// How many kinds there are.
    pub const COUNT: usize = 3;

    /// A record of one span of this kind.
    pub const fn alone(self) -> [u64; Self::COUNT] {
        let mut spans = [0; Self::COUNT];
        spans[self as usize] = 1;
        spans
    }
}

impl Lane {
    /// One that nothing was added to.
    #[allow(
        clippy::large_stack_arrays,
        reason = "what is constant is not on a stack"
    )]
    pub const EMPTY: Self = Self {
        counters: Counters::new(),
        sums_ns: [0; KINDS],
        batch: Batch {
            used: 0,
            spans: [0; Gathered::COUNT],
            words: [0; BATCH_WORDS],
        },
        buckets: [[0; BUCKETS]; KINDS],
    };

    /// Notes what became of the records that were gathered, and begins anew.
    #[inline(always)]
    #[allow(clippy::inline_always, reason = "eBPF programs are one function each")]
    pub fn settle_batch(&mut self, are_written: bool) {
        let reads = self.take_count(Gathered::Reads);
        let hooked_reads = self.take_count(Gathered::HookedReads);
        let writes = self.take_count(Gathered::Writes);
        let counters = &mut self.counters;
        if are_written {
            *counters.cell(Counter::ReadRecorded) += reads;
            *counters.cell(Counter::SiteRecorded) += hooked_reads;
            *counters.cell(Counter::WriteRecorded) += writes;
            *counters.cell(Counter::RecordsWritten) += reads + hooked_reads + writes;
        } else {
            *counters.cell(Counter::ReadRingFull) += reads;
            *counters.cell(Counter::SiteRingFull) += hooked_reads;
            *counters.cell(Counter::WriteRingFull) += writes;
        }
        self.batch.used = 0;
    }

    #[inline(always)]
    #[allow(clippy::inline_always, reason = "eBPF programs are one function each")]
    const fn take_count(&mut self, of: Gathered) -> u64 {
        core::mem::replace(&mut self.batch.spans[of as usize], 0)
    }
}

/// No records are asked for.
pub const NOT_WANTED: u8 = 0;
/// Threads with a lane gather records before they write them.
pub const GATHERED: u8 = 1;
/// Records are written at once.
pub const WRITTEN_AT_ONCE: u8 = 2;
/// Records are written at once, of those arms alone that the agent asks for at the moment.
pub const WRITTEN_WHILE_ASKED_FOR: u8 = 3;

/// Lanes of each arm on a machine with so many CPUs, a power of two. Threads beyond them add to what is
/// the CPU's.
pub const fn lanes_per_arm(cpus: usize) -> u32 {
    if cpus <= 8 {
        8
    } else if cpus <= 16 {
        16
    } else {
        32
    }
}

/// The lane that a thread of an arm has, if it is free.
#[inline(always)]
#[allow(clippy::inline_always, reason = "eBPF programs are one function each")]
pub const fn lane_of(arm: u32, tid: u32, lanes_per_arm: u32) -> u32 {
    arm * lanes_per_arm + (tid & (lanes_per_arm - 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arms_have_lanes_apart() {
        for cpus in [1, 2, 9, 64, 1_024] {
            let lanes = lanes_per_arm(cpus);
            assert!(lanes.is_power_of_two(), "a mask");
            for (arm, tid) in [(0, 0), (0, u32::MAX), (3, 0), (3, 4_242)] {
                let lane = lane_of(arm, tid, lanes);
                assert_eq!(lane / lanes, arm);
            }
            assert_ne!(lane_of(0, 700, lanes), lane_of(0, 701, lanes));
        }
    }
}

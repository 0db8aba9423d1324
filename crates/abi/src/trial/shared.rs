//! The memory that front writes and the agent reads: counts, and rings of records.
//!
//! It is a sealed memory file (`memfd_create(2)`, with `F_SEAL_SHRINK` and `F_SEAL_GROW`), so nobody can cut it off under
//! who has mapped it. Whoever is traced can write anything into it: the reader takes no number from it as an index. It holds the
//! text of its trial, so that a reader need not know what the writer's environment once was.
//!
//! Whoever reads it, and has calls recorded, holds `flock(2)` on it: one at a time. The lock goes with its holder, however that
//! ends.
//!
//! A writer takes the next number of a ring from its head, writes [`begun`] to the slot, then (after a release fence) the words
//! and the checksum, then [`complete`] with release ordering. A reader counts by itself, reads a slot twice, and takes it if
//! both are equal and [`Slot::decode`](super::calls::Slot::decode) finds the record whole.

use core::fmt::{self, Write as _};
use core::sync::atomic::{AtomicU8, AtomicU64, Ordering, fence};

use super::calls::{Call, WORDS, begun, complete};
use super::{MAX_ARMS, Trial, mix};

/// What the memory begins with; the last two digits are the version of this layout.
pub const MAGIC: u64 = u64::from_le_bytes(*b"hkprob02");

/// What the memory is called where a process' descriptors and mappings are listed.
pub const NAME: &core::ffi::CStr = c"hookprobe-records";
/// Bytes for the text of the trial, which zeros follow.
pub const TRIAL_BYTES: usize = 512;

/// Rings of records. A thread writes to one of them, by its number.
pub const RINGS: usize = 4;
/// Records of a ring.
pub const SLOTS: usize = 1 << 15;

/// Numbers of the counters of [`Shared::counts`] that are not by arm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum Count {
    /// Connections that were accepted.
    Connections = 0,
    /// First requests of connections, which carry the salt and belong to no arm.
    FirstRequests = 1,
    /// Connections whose first request carried no salt: theirs belong to no arm either.
    WithoutSalt = 2,
    /// Requests that did not begin where the one before should have ended: the calls before ended off a boundary.
    OffBoundary = 3,
    /// Calls that read beyond the request that they began in (pipelining).
    BeyondRequest = 4,
    /// Processes that have mapped the memory.
    Processes = 5,
    /// Calls that were not recorded, as the clock could not tell (spans of 4 s and more).
    Unrecordable = 6,
}

impl Count {
    /// How many there are.
    pub const COUNT: usize = 8;
}

/// Numbers of the counters of [`Shared::by_arm`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum ArmCount {
    /// Requests that were drawn.
    Requests = 0,
    /// Calls that returned bytes of them.
    Calls = 1,
    /// Of these, calls that never reached back.
    Unreached = 2,
    /// Bytes that these calls returned.
    Bytes = 3,
}

impl ArmCount {
    /// How many there are.
    pub const COUNT: usize = 4;
}

/// A counter that many threads write, and its line of the cache.
#[derive(Debug)]
#[repr(C, align(64))]
pub struct Head {
    /// The number of the next record.
    pub next: AtomicU64,
    _rest: [u64; 7],
}

/// A ring: slots of [`WORDS`] words.
pub type Ring = [[AtomicU64; WORDS]; SLOTS];

/// The whole memory. All zero but for the magic word is an empty one.
#[derive(Debug)]
#[repr(C, align(64))]
pub struct Shared {
    /// [`MAGIC`].
    pub magic: AtomicU64,
    /// Not zero while calls are to be recorded. The agent writes it, between blocks.
    pub is_recording: AtomicU64,
    _rest: [u64; 6],
    /// The text of the trial, as [`trial_text`] has it.
    pub trial: [AtomicU8; TRIAL_BYTES],
    /// By [`Count`].
    pub counts: [AtomicU64; Count::COUNT],
    /// By arm, then by [`ArmCount`].
    pub by_arm: [[AtomicU64; ArmCount::COUNT]; MAX_ARMS],
    /// Numbers of the next records.
    pub heads: [Head; RINGS],
    /// The records.
    pub rings: [Ring; RINGS],
}

/// The text of a trial as the memory has it; `None` if it is too long.
pub fn trial_text(trial: &Trial) -> Option<[u8; TRIAL_BYTES]> {
    let mut text = Text {
        bytes: [0; TRIAL_BYTES],
        length: 0,
    };
    write!(text, "{trial}").ok()?;
    Some(text.bytes)
}

/// The trial whose text a memory has; `None` if it has none.
pub fn trial_of(text: &[u8; TRIAL_BYTES]) -> Option<Trial> {
    let text = text.split(|byte| *byte == 0).next()?;
    Trial::parse(text).ok()
}

struct Text {
    bytes: [u8; TRIAL_BYTES],
    length: usize,
}

impl fmt::Write for Text {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let rest = self.bytes.get_mut(self.length..).unwrap_or_default();
        let place = rest.get_mut(..text.len()).ok_or(fmt::Error)?;
        place.copy_from_slice(text.as_bytes());
        self.length += text.len();
        Ok(())
    }
}

impl Shared {
    /// Adds one to a counter.
    #[inline]
    pub fn count(&self, count: Count) {
        if let Some(counter) = self.counts.get(count as usize) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Adds to a counter of an arm.
    #[inline]
    pub fn add(&self, arm: usize, count: ArmCount, amount: u64) {
        let counter = self.by_arm.get(arm).and_then(|arm| arm.get(count as usize));
        if let Some(counter) = counter {
            counter.fetch_add(amount, Ordering::Relaxed);
        }
    }

    /// Writes a record, into the ring of the thread whose storage is at this address. Async-signal-safe: a number is taken,
    /// and then the slot is this call's.
    #[inline]
    pub fn record(&self, thread: usize, call: &Call) {
        self.begin(ring_of(thread), call).complete();
    }

    /// Writes a record but for its end. A writer that dies here leaves it torn.
    #[inline]
    pub fn begin(&self, ring: usize, call: &Call) -> Begun<'_> {
        let number = self.heads[ring].next.fetch_add(1, Ordering::Relaxed);
        let record = call.encode(number);
        let [sequence, words @ .., checksum] = &self.rings[ring][index(number, SLOTS)];
        sequence.store(begun(number), Ordering::Relaxed);
        fence(Ordering::Release);
        for (word, value) in words.iter().zip(record.words) {
            word.store(value, Ordering::Relaxed);
        }
        checksum.store(record.checksum, Ordering::Relaxed);
        Begun { sequence, number }
    }
}

/// A record that has its words and not its end.
#[must_use]
#[derive(Debug)]
pub struct Begun<'s> {
    sequence: &'s AtomicU64,
    number: u64,
}

impl Begun<'_> {
    /// Says that the record is whole.
    #[inline]
    pub fn complete(self) {
        self.sequence
            .store(complete(self.number), Ordering::Release);
    }
}

/// The ring of the thread whose storage is at this address.
#[inline]
fn ring_of(thread: usize) -> usize {
    index(mix(thread as u64), RINGS)
}

/// A number's place among so many.
#[inline]
fn index(number: u64, count: usize) -> usize {
    usize::try_from(number % count as u64).unwrap_or(0)
}

#[cfg(test)]
mod tests;

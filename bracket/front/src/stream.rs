//! Which request of a connection a call belongs to, and so which arm.
//!
//! The arm moves at the first read that takes bytes after a write on the connection. A server that reads until nothing is
//! left before it answers so keeps the arm of the request for its last, empty read. By slices of time, a call has the arm of
//! the instant at which it was entered.

use core::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering};

use abi::trial::shared::{ArmCount, Count, Shared};
use abi::trial::{MAX_ARMS, Trial};
use preload::table::{Entry, Table};

use crate::salt::Search;

/// The slot of calls that belong to no arm, and go past the hook. Arms have their numbers as slots.
pub const PAST: usize = MAX_ARMS;
/// The slot of calls outside a trial, which go to the hook.
pub const HOOK: usize = MAX_ARMS + 1;
/// Slots that a table has: a power of two, so that none is looked for outside.
pub const SLOTS: usize = 2 * MAX_ARMS;

/// What is known of the connection of a descriptor. Threads that read one connection at the same time may mix up its places,
/// and the counts then show it.
#[derive(Debug)]
#[repr(align(64))]
pub struct Stream {
    /// Bytes read so far.
    read: AtomicU64,
    /// 0 until it is found.
    salt: AtomicU64,
    /// Of the request that was begun last: its place in the stream, and its slot.
    ordinal: AtomicU64,
    slot: AtomicU32,
    /// Whether something was written since.
    is_written: AtomicBool,
    /// The search for the salt.
    place: AtomicU8,
    digits: AtomicU64,
}

// SAFETY: it is made of integers that are zero.
#[allow(unsafe_code, reason = "memory of zeros is an unused stream")]
unsafe impl Entry for Stream {
    const EMPTY: Self = Self {
        read: AtomicU64::new(0),
        salt: AtomicU64::new(0),
        ordinal: AtomicU64::new(0),
        slot: AtomicU32::new(0),
        is_written: AtomicBool::new(false),
        place: AtomicU8::new(0),
        digits: AtomicU64::new(0),
    };
}

/// The stream of each descriptor.
pub static STREAMS: Table<Stream> = Table::new();

/// Where a call stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Where in the tables: an arm, [`PAST`] or [`HOOK`].
    pub slot: usize,
    /// Which request, from 0.
    pub ordinal: u64,
    /// The connection's salt, or 0.
    pub salt: u64,
    /// Bytes that were read before.
    read: u64,
    /// Whether it begins the request.
    pub is_fresh: bool,
}

impl Place {
    /// Of a call outside a trial.
    pub const OUTSIDE: Self = Self {
        slot: HOOK,
        ordinal: 0,
        salt: 0,
        read: 0,
        is_fresh: false,
    };

    /// Number of the arm.
    #[inline]
    pub fn arm(&self) -> Option<usize> {
        (self.slot < MAX_ARMS).then_some(self.slot)
    }
}

impl Stream {
    /// Begins anew, with a connection that was accepted.
    pub fn reset(&self) {
        self.read.store(0, Ordering::Relaxed);
        self.salt.store(0, Ordering::Relaxed);
        self.is_written.store(false, Ordering::Relaxed);
        self.keep(Search::default());
    }

    /// Notes that something was written to the connection.
    #[inline]
    pub fn wrote(&self) {
        self.is_written.store(true, Ordering::Relaxed);
    }

    /// Slot and ordinal of the request that was begun last, if it has an arm.
    pub fn under_way(&self) -> Option<(usize, u64)> {
        let slot = self.slot.load(Ordering::Relaxed) as usize;
        let has_begun = self.read.load(Ordering::Relaxed) > 0;
        let ordinal = self.ordinal.load(Ordering::Relaxed);
        (has_begun && slot < MAX_ARMS).then_some((slot, ordinal))
    }

    /// Where the next call stands, if it takes bytes. `slice` is the arm of the slice of time, where there are any.
    #[inline]
    pub fn next(&self, trial: &Trial, connection: u64, slice: Option<usize>) -> Place {
        let read = self.read.load(Ordering::Relaxed);
        let salt = match trial.size {
            0 => connection,
            _ => self.salt.load(Ordering::Relaxed),
        };
        if read != 0 && !self.is_written.load(Ordering::Relaxed) {
            let slot = self.slot.load(Ordering::Relaxed) as usize;
            return Place {
                slot: slice.filter(|_| slot != PAST).unwrap_or(slot),
                ordinal: self.ordinal.load(Ordering::Relaxed),
                salt,
                read,
                is_fresh: false,
            };
        }
        let ordinal = match read.checked_div(trial.size.into()) {
            Some(ordinal) => ordinal,
            None if read == 0 => 0,
            None => self.ordinal.load(Ordering::Relaxed) + 1,
        };
        let arm = match (salt, slice) {
            (0, _) => None,
            (_, Some(arm)) => Some(arm),
            (salt, None) => trial.arm_of(salt, ordinal),
        };
        Place {
            slot: arm.unwrap_or(PAST),
            ordinal,
            salt,
            read,
            is_fresh: true,
        }
    }

    /// Without sizes, what was answered while a call waited ends the request before: a server may answer in another thread.
    pub fn look_again(&self, place: &mut Place) {
        if !place.is_fresh && self.is_written.load(Ordering::Relaxed) {
            place.ordinal += 1;
            place.is_fresh = true;
        }
    }

    /// Goes on by `length` bytes that a call at this place has read: they are in `pieces`, if they are anywhere.
    #[inline]
    pub fn advance<'b>(
        &self,
        trial: &Trial,
        place: &Place,
        length: u64,
        pieces: impl Iterator<Item = &'b [u8]>,
        counts: Option<&Shared>,
    ) {
        let size = u64::from(trial.size);
        let count = |what| {
            if let Some(counts) = counts {
                counts.count(what);
            }
        };
        let add = |what, amount| {
            if let (Some(counts), Some(arm)) = (counts, place.arm()) {
                counts.add(arm, what, amount);
            }
        };
        self.read.fetch_add(length, Ordering::Relaxed);
        if place.is_fresh {
            self.ordinal.store(place.ordinal, Ordering::Relaxed);
            let slot = u32::try_from(place.slot).unwrap_or(0);
            self.slot.store(slot, Ordering::Relaxed);
            self.is_written.store(false, Ordering::Relaxed);
            add(ArmCount::Requests, 1);
            if size > 0 && place.ordinal == 0 {
                count(Count::FirstRequests);
            }
            if size > 0 && place.read != place.ordinal * size {
                count(Count::OffBoundary);
            }
        }
        add(ArmCount::Calls, 1);
        add(ArmCount::Bytes, length);
        if size == 0 {
            return;
        }
        let rest = (place.ordinal + 1) * size - place.read.min((place.ordinal + 1) * size);
        if length > rest {
            count(Count::BeyondRequest);
        }
        if place.ordinal == 0 && rest > 0 {
            self.search(pieces, rest);
            if length >= rest && self.salt.load(Ordering::Relaxed) == 0 {
                count(Count::WithoutSalt);
            }
        }
    }

    /// Looks for the salt in the first `rest` bytes.
    #[cold]
    fn search<'b>(&self, pieces: impl Iterator<Item = &'b [u8]>, rest: u64) {
        let mut rest = usize::try_from(rest).unwrap_or(usize::MAX);
        let mut search = Search {
            place: self.place.load(Ordering::Relaxed),
            digits: self.digits.load(Ordering::Relaxed),
        };
        for piece in pieces {
            let piece = &piece[..piece.len().min(rest)];
            rest -= piece.len();
            if let Some(salt) = search.find(piece) {
                self.salt.store(salt, Ordering::Relaxed);
            }
        }
        self.keep(search);
    }

    fn keep(&self, search: Search) {
        self.place.store(search.place, Ordering::Relaxed);
        self.digits.store(search.digits, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests;

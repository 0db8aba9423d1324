//! Recording calls in shared memory. Async-signal-safe: a number is taken, and then the slot is this call's.

use core::sync::atomic::{Ordering, fence};

use abi::trial::calls::{Call, begun};
use abi::trial::mix;
use abi::trial::shared::{RINGS, SLOTS, Shared};

/// Writes a record, into the ring of the thread whose storage is at this address.
#[inline]
pub fn write(shared: &Shared, thread: usize, call: &Call) {
    let ring = mix(thread as u64) as usize % RINGS;
    let number = shared.heads[ring].next.fetch_add(1, Ordering::Relaxed);
    let record = call.encode(number);
    let [sequence, words @ .., checksum] = &shared.rings[ring][number as usize % SLOTS];
    sequence.store(begun(number), Ordering::Relaxed);
    fence(Ordering::Release);
    for (word, value) in words.iter().zip(record.words) {
        word.store(value, Ordering::Relaxed);
    }
    checksum.store(record.checksum, Ordering::Relaxed);
    sequence.store(record.sequence, Ordering::Release);
}

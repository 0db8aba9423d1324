//! Recording calls in shared memory. Async-signal-safe: a number is taken, and then the slot is this call's.

use core::sync::atomic::{Ordering, fence};

use abi::trial::calls::{Call, begun};
use abi::trial::mix;
use abi::trial::shared::{RINGS, SLOTS, Shared};

/// Writes a record, into the ring of the thread whose storage is at this address.
#[inline]
pub fn write(shared: &Shared, thread: usize, call: &Call) {
    let ring = index(mix(thread as u64), RINGS);
    let number = shared.heads[ring].next.fetch_add(1, Ordering::Relaxed);
    let record = call.encode(number);
    let [sequence, words @ .., checksum] = &shared.rings[ring][index(number, SLOTS)];
    sequence.store(begun(number), Ordering::Relaxed);
    fence(Ordering::Release);
    for (word, value) in words.iter().zip(record.words) {
        word.store(value, Ordering::Relaxed);
    }
    checksum.store(record.checksum, Ordering::Relaxed);
    sequence.store(record.sequence, Ordering::Release);
}

/// A number's place among so many.
#[inline]
fn index(number: u64, count: usize) -> usize {
    usize::try_from(number % count as u64).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU64;

    use abi::trial::calls::Slot;

    use super::*;

    #[allow(unsafe_code, reason = "it is too large for the stack")]
    fn shared() -> Box<Shared> {
        // SAFETY: it is made of integers that may be zero.
        unsafe { Box::new_zeroed().assume_init() }
    }

    fn slot(ring: &[[AtomicU64; 8]; SLOTS], number: u64) -> Slot {
        let [sequence, words @ .., checksum] = &ring[index(number, SLOTS)];
        let load = |word: &AtomicU64| word.load(Ordering::Relaxed);
        Slot {
            sequence: load(sequence),
            words: words.each_ref().map(load),
            checksum: load(checksum),
        }
    }

    #[test]
    fn the_last_records_of_a_ring_are_whole_and_in_order() {
        let shared = shared();
        let written = SLOTS as u64 + 10;
        for salt in 0..written {
            let call = Call {
                salt,
                returned: 5,
                ..Call::default()
            };
            write(&shared, 4_096, &call);
        }
        let rings = shared.heads.iter().zip(&shared.rings);
        let next = |head: &AtomicU64| head.load(Ordering::Relaxed);
        let used: Vec<_> = rings.filter(|(head, _)| next(&head.next) > 0).collect();
        assert_eq!(used.len(), 1, "a thread has one ring");
        let (head, ring) = used[0];
        assert_eq!(next(&head.next), written);
        for number in 10..written {
            assert_eq!(slot(ring, number).decode(number).unwrap().salt, number);
        }
        assert_eq!(slot(ring, 0).decode(0), None, "it was written over");
    }

    #[test]
    fn threads_are_spread_over_all_rings() {
        let shared = shared();
        // Stacks, and so the storage of threads, lie eight megabytes apart.
        for thread in 0..64 {
            write(&shared, 0x7f00_0000_1740 + (thread << 23), &Call::default());
        }
        for head in &shared.heads {
            assert!(head.next.load(Ordering::Relaxed) > 4);
        }
    }
}

extern crate std;
use std::boxed::Box;
use std::vec::Vec;

use super::super::calls::Slot;
use super::super::{Arm, MAX_DELAY_NS, MAX_RUN, SIZES};
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
        shared.record(4_096, &call);
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
        shared.record(0x7f00_0000_1740 + (thread << 23), &Call::default());
    }
    for head in &shared.heads {
        assert!(head.next.load(Ordering::Relaxed) > 4);
    }
}

#[test]
fn the_memory_tells_its_trial() {
    let delays = (0..MAX_ARMS as u64 - 2).map(|arm| Arm::Spiked {
        delay_ns: MAX_DELAY_NS - arm,
    });
    let arms: Vec<Arm> = [Arm::Off, Arm::On].into_iter().chain(delays).collect();
    // The longest text that a trial can have.
    let trial = Trial::new(u64::MAX, *SIZES.end(), MAX_RUN, &arms).unwrap();
    let text = trial_text(&trial).unwrap();
    assert_eq!(trial_of(&text), Some(trial));
    assert_eq!(trial_of(&[0; TRIAL_BYTES]), None);
    assert_eq!(trial_of(&[b'1'; TRIAL_BYTES]), None);
}

use abi::trial::{Arm, SALT_FIELD, mix};

use super::*;

const SIZE: u32 = 256;

fn trial() -> Trial {
    let arms = [Arm::Off, Arm::Null, Arm::On, Arm::Spiked { delay_ns: 900 }];
    Trial::new(11, SIZE, 1, &arms).unwrap()
}

#[allow(unsafe_code, reason = "it is too large for the stack")]
fn counts() -> Box<Shared> {
    // SAFETY: it is made of integers that may be zero.
    unsafe { Box::new_zeroed().assume_init() }
}

fn counted(counts: &Shared, count: Count) -> u64 {
    counts.counts[count as usize].load(Ordering::Relaxed)
}

fn counted_by_arm(counts: &Shared, count: ArmCount) -> Vec<u64> {
    let by_arm = counts.by_arm.iter();
    by_arm
        .map(|arm| arm[count as usize].load(Ordering::Relaxed))
        .collect()
}

/// Numbers that look drawn.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        usize::try_from(mix(self.0) % end as u64).unwrap()
    }
}

/// Requests of one connection, the first with a salt after so many bytes.
fn requests(salt: Option<u64>, place: usize, count: usize) -> Vec<u8> {
    let size = SIZE as usize;
    let mut bytes = vec![b'x'; size * count];
    if let Some(salt) = salt {
        let field = format!("\r\n{SALT_FIELD}: {salt:016x}\r\n");
        bytes[place..][..field.len()].copy_from_slice(field.as_bytes());
    }
    for request in bytes.chunks_mut(size) {
        request[size - 2..].copy_from_slice(b"\r\n");
    }
    bytes
}

/// A call that reads these bytes: its place, which it had before.
fn read(stream: &Stream, bytes: &[u8], split: usize, counts: &Shared) -> Place {
    let trial = trial();
    let place = stream.next(&trial, 9, None);
    let (head, tail) = bytes.split_at(split);
    let length = bytes.len() as u64;
    stream.advance(
        &trial,
        &place,
        length,
        [head, tail].into_iter(),
        Some(counts),
    );
    place
}

/// The slot that a request must have, by its ordinal alone.
fn slot_of(salt: Option<u64>, ordinal: u64) -> usize {
    salt.and_then(|salt| trial().arm_of(salt, ordinal))
        .unwrap_or(PAST)
}

#[test]
fn calls_have_the_arm_of_their_request_however_it_is_read() {
    const COUNT: usize = 40;
    let mut numbers = Numbers(1);
    for round in 0..200 {
        let salt = (round % 5 > 0).then(|| trial().salt(round));
        let sent = requests(salt, numbers.below(SIZE as usize - 40), COUNT);
        let (stream, counts) = (Stream::EMPTY, counts());
        let drains = numbers.below(2) == 1;
        let mut calls = vec![0; MAX_ARMS];
        for (ordinal, request) in (0..).zip(sent.chunks(SIZE as usize)) {
            let mut rest = request;
            while !rest.is_empty() {
                // Nothing is there yet, or a signal has come: nothing is taken.
                if numbers.below(3) == 0 {
                    assert_eq!(stream.next(&trial(), 9, None).slot, slot_of(salt, ordinal));
                }
                let (chunk, behind) = rest.split_at(1 + numbers.below(rest.len()));
                let place = read(&stream, chunk, numbers.below(chunk.len() + 1), &counts);
                assert_eq!(
                    (place.slot, place.ordinal),
                    (slot_of(salt, ordinal), ordinal)
                );
                assert_eq!(place.is_fresh, rest.len() == request.len());
                if let Some(arm) = place.arm() {
                    calls[arm] += 1;
                }
                rest = behind;
            }
            if drains {
                // All has been read, and the answer not been written.
                let place = stream.next(&trial(), 9, None);
                assert_eq!(
                    (place.slot, place.is_fresh),
                    (slot_of(salt, ordinal), false)
                );
            }
            for _ in 0..=numbers.below(3) {
                stream.wrote();
            }
        }
        let mut drawn = vec![0; MAX_ARMS];
        for ordinal in 1..COUNT as u64 {
            if let Some(drawn) = drawn.get_mut(slot_of(salt, ordinal)) {
                *drawn += 1;
            }
        }
        assert_eq!(counted_by_arm(&counts, ArmCount::Requests), drawn);
        assert_eq!(counted_by_arm(&counts, ArmCount::Calls), calls);
        let bytes: Vec<u64> = drawn.iter().map(|drawn| drawn * u64::from(SIZE)).collect();
        assert_eq!(counted_by_arm(&counts, ArmCount::Bytes), bytes);
        assert_eq!(counted(&counts, Count::FirstRequests), 1);
        assert_eq!(
            counted(&counts, Count::WithoutSalt),
            u64::from(salt.is_none())
        );
        for fault in [Count::OffBoundary, Count::BeyondRequest] {
            assert_eq!(counted(&counts, fault), 0, "{fault:?}");
        }
    }
}

#[test]
fn a_salt_that_is_no_longer_in_the_first_request_is_none() {
    let salt = trial().salt(0);
    let sent = requests(Some(salt), SIZE as usize - 20, 2);
    let (stream, counts) = (Stream::EMPTY, counts());
    read(&stream, &sent, 7, &counts);
    assert_eq!(counted(&counts, Count::WithoutSalt), 1);
    assert_eq!(counted(&counts, Count::BeyondRequest), 1);
    stream.wrote();
    assert_eq!(stream.next(&trial(), 9, None).slot, PAST);
}

#[test]
fn zeros_are_no_salt() {
    let sent = requests(Some(0), 16, 1);
    let (stream, counts) = (Stream::EMPTY, counts());
    read(&stream, &sent, 0, &counts);
    assert_eq!(counted(&counts, Count::WithoutSalt), 1);
}

#[test]
fn requests_of_another_size_are_counted_as_faults() {
    let salt = trial().salt(3);
    let sent = requests(Some(salt), 16, 3);
    let (stream, counts) = (Stream::EMPTY, counts());
    let size = SIZE as usize;
    for (from, to) in [
        (0, size),
        (size, 2 * size - 1),
        (2 * size - 1, 3 * size - 1),
    ] {
        read(&stream, &sent[from..to], 0, &counts);
        stream.wrote();
    }
    // The third began a byte early, and ended where it should not.
    assert_eq!(counted(&counts, Count::OffBoundary), 1);
    assert_eq!(counted(&counts, Count::BeyondRequest), 1);
}

#[test]
fn a_connection_of_the_same_number_begins_anew() {
    let (stream, counts) = (Stream::EMPTY, counts());
    let salts = [trial().salt(0), trial().salt(1)];
    for salt in salts {
        stream.reset();
        let sent = requests(Some(salt), 30, 2);
        for request in sent.chunks(SIZE as usize) {
            let place = read(&stream, request, 0, &counts);
            let expected = if place.ordinal == 0 {
                PAST
            } else {
                slot_of(Some(salt), 1)
            };
            assert_eq!((place.slot, place.is_fresh), (expected, true));
            stream.wrote();
        }
    }
    assert_eq!(counted(&counts, Count::FirstRequests), 2);
}

#[test]
fn threads_that_share_a_connection_do_no_harm() {
    let (stream, counts) = (Stream::EMPTY, counts());
    let sent = requests(Some(trial().salt(2)), 30, 500);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for chunk in sent.chunks(100) {
                    let place = read(&stream, chunk, 50, &counts);
                    assert!(place.slot <= PAST);
                    stream.wrote();
                }
            });
        }
    });
    assert_eq!(
        stream.read.load(Ordering::Relaxed),
        4 * 500 * u64::from(SIZE)
    );
}

#[test]
fn slices_give_the_arm_of_the_instant_to_all_but_the_first_request() {
    let trial = Trial::parse(b"seed=1 size=256 slice=1000000 arms=off,null,on").unwrap();
    let (stream, counts) = (Stream::EMPTY, counts());
    let go = |slice, bytes: &[u8]| {
        let place = stream.next(&trial, 9, Some(slice));
        let pieces = [bytes].into_iter();
        stream.advance(&trial, &place, bytes.len() as u64, pieces, Some(&counts));
        (place.slot, place.ordinal, place.salt)
    };
    let bytes = requests(Some(77), 30, 3);
    assert_eq!(go(2, &bytes[..256]), (PAST, 0, 0));
    // What was begun without an arm has none to its end.
    assert_eq!(stream.next(&trial, 9, Some(1)).slot, PAST);
    stream.wrote();
    assert_eq!(go(2, &bytes[256..300]), (2, 1, 77));
    // A call within a request has the arm of its own instant.
    assert_eq!(go(1, &bytes[300..512]), (1, 1, 77));
    assert_eq!(counted_by_arm(&counts, ArmCount::Requests)[..3], [0, 0, 1]);
    assert_eq!(counted_by_arm(&counts, ArmCount::Calls)[..3], [0, 1, 1]);
    assert_eq!(counted(&counts, Count::FirstRequests), 1);
    assert_eq!(counted(&counts, Count::OffBoundary), 0);
}

#[test]
fn requests_of_any_size_are_counted_from_answer_to_answer() {
    let trial = Trial::parse(b"seed=1 slice=1000000 arms=off,on").unwrap();
    let (stream, counts) = (Stream::EMPTY, counts());
    for (ordinal, lengths) in [&[700, 5][..], &[1], &[90_000, 3, 9]]
        .into_iter()
        .enumerate()
    {
        for length in lengths {
            let place = stream.next(&trial, 9, Some(1));
            assert_eq!((place.slot, place.salt), (1, 9));
            assert_eq!(place.ordinal, ordinal as u64);
            stream.advance(&trial, &place, *length, std::iter::empty(), Some(&counts));
        }
        stream.wrote();
    }
    assert_eq!(counted_by_arm(&counts, ArmCount::Requests)[..2], [0, 3]);
    assert_eq!(counted_by_arm(&counts, ArmCount::Calls)[..2], [0, 6]);
    // A thread that waits for the next request while another answers the one before.
    let mut before = stream.next(&trial, 9, Some(1));
    stream.look_again(&mut before);
    assert_eq!((before.is_fresh, before.ordinal), (true, 3));
    stream.advance(&trial, &before, 1, std::iter::empty(), Some(&counts));
    let mut waiting = stream.next(&trial, 9, Some(1));
    assert_eq!((waiting.is_fresh, waiting.ordinal), (false, 3));
    stream.wrote();
    stream.look_again(&mut waiting);
    assert_eq!((waiting.is_fresh, waiting.ordinal), (true, 4));
    for count in [Count::OffBoundary, Count::BeyondRequest, Count::WithoutSalt] {
        assert_eq!(counted(&counts, count), 0);
    }
}

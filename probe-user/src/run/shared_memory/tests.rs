use std::os::unix::fs::MetadataExt as _;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use abi::trial::Arm;
use abi::trial::calls::begun;
use rand::{RngCore as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use rustix::fs::{OFlags, fcntl_setfl};

use super::*;

const SLOTS_IN_RING: u64 = SLOTS as u64;

mod stress;

/// The memory as the server has it.
mod mapped {
    #![allow(unsafe_code, reason = "a writer maps the memory")]

    use std::os::fd::AsRawFd as _;
    use std::ptr;

    use abi::trial::shared::Shared;

    use super::super::SharedMemory;

    /// Maps it, for as long as the tests run.
    pub fn map(memory: &SharedMemory) -> &'static Shared {
        let access = libc::PROT_READ | libc::PROT_WRITE;
        let file = memory.file.as_raw_fd();
        // SAFETY: the kernel chooses a place that is free.
        let mapped = unsafe {
            libc::mmap(
                ptr::null_mut(),
                size_of::<Shared>(),
                access,
                libc::MAP_SHARED,
                file,
                0,
            )
        };
        assert_ne!(mapped, libc::MAP_FAILED);
        // SAFETY: the file is as large, cannot shrink, and stays mapped; all of `Shared` may have any value and is
        // atomic, or is touched by nobody.
        unsafe { &*mapped.cast::<Shared>() }
    }
}

fn memory() -> (SharedMemory, &'static Shared) {
    let trial = Trial::new(1, 256, 1, &[Arm::Off, Arm::Null, Arm::On]).unwrap();
    let mut memory = SharedMemory::create(&trial).unwrap();
    memory.most_records = u64::MAX;
    let shared = mapped::map(&memory);
    (memory, shared)
}

/// A call whose words all follow from these two.
fn call(writer: u32, ordinal: u32) -> Call {
    Call {
        salt: u64::from(writer),
        ordinal,
        arm: u8::try_from(ordinal % 3).unwrap(),
        function: 0,
        flags: Call::REACHED_BACK,
        enter_ns: u64::from(ordinal) << 20 | u64::from(writer),
        back_exit_ns: u64::from(writer) << 40,
        to_back_ns: ordinal,
        from_back_ns: !ordinal,
        waited_ns: writer,
        returned: 256,
    }
}

fn write(shared: &Shared, ring: usize, call: &Call) {
    shared.begin(ring, call).complete();
}

fn drain(memory: &mut SharedMemory, writers: Writers) -> Vec<Call> {
    let mut calls = Vec::new();
    memory
        .drain(writers, |call| {
            calls.push(call);
            Ok(())
        })
        .unwrap();
    let ledger = memory.counts().unwrap().records;
    assert!(
        writers == Writers::Alive || ledger.is_balanced(),
        "{ledger:?}"
    );
    calls
}

fn ledger(memory: &SharedMemory) -> [u64; 4] {
    let RecordLedger {
        begun,
        read,
        overwritten,
        torn,
        ..
    } = memory.counts().unwrap().records;
    [begun, read, overwritten, torn]
}

#[test]
fn records_are_read_once_and_in_order() {
    let (mut memory, shared) = memory();
    for ordinal in 0..3 {
        write(shared, 2, &call(7, ordinal));
    }
    assert_eq!(
        drain(&mut memory, Writers::Alive),
        [0, 1, 2].map(|ordinal| call(7, ordinal))
    );
    assert_eq!(drain(&mut memory, Writers::Alive), []);
    write(shared, 2, &call(7, 3));
    assert_eq!(drain(&mut memory, Writers::Gone), [call(7, 3)]);
    assert_eq!(ledger(&memory), [4, 4, 0, 0]);
}

#[test]
fn what_was_overwritten_is_counted() {
    let (mut memory, shared) = memory();
    for ordinal in 0..u32::try_from(SLOTS).unwrap() + 100 {
        write(shared, 0, &call(1, ordinal));
    }
    let calls = drain(&mut memory, Writers::Alive);
    assert_eq!(calls.first(), Some(&call(1, 100)));
    assert_eq!(
        ledger(&memory),
        [SLOTS_IN_RING + 100, SLOTS_IN_RING, 100, 0]
    );
}

/// A server may make them up, as many as it likes.
#[test]
fn no_more_records_are_taken_than_a_run_can_have() {
    let (mut memory, shared) = memory();
    memory.most_records = 3;
    for ordinal in 0..4 {
        write(shared, 0, &call(1, ordinal));
    }
    assert_eq!(drain(&mut memory, Writers::Alive).len(), 4);
    for ordinal in 4..10 {
        write(shared, 0, &call(1, ordinal));
    }
    assert_eq!(drain(&mut memory, Writers::Alive).len(), 0);
    // Begun, read, overwritten, torn.
    assert_eq!(ledger(&memory), [10, 4, 6, 0]);
}

#[test]
fn a_record_that_is_overtaken_while_rings_are_read_is_overwritten() {
    let (mut memory, shared) = memory();
    write(shared, 0, &call(1, 0));
    // The writer of a later turn has been here, and the head that we see is from before.
    let later = call(1, 9).encode(SLOTS_IN_RING);
    let slot = &shared.rings[0][0];
    for (place, word) in slot[1..].iter().zip(later.words) {
        place.store(word, Relaxed);
    }
    slot[7].store(later.checksum, Relaxed);
    for sequence in [begun(SLOTS_IN_RING), later.sequence] {
        slot[0].store(sequence, Release);
        memory.rings = Default::default();
        memory.ledger = RecordLedger::default();
        assert_eq!(drain(&mut memory, Writers::Alive), []);
        assert_eq!(ledger(&memory), [1, 0, 1, 0]);
    }
}

#[test]
fn a_record_that_is_being_written_is_waited_for() {
    let (mut memory, shared) = memory();
    let unfinished = shared.begin(1, &call(1, 0));
    write(shared, 1, &call(1, 1));
    assert_eq!(drain(&mut memory, Writers::Alive), []);
    unfinished.complete();
    assert_eq!(drain(&mut memory, Writers::Alive), [call(1, 0), call(1, 1)]);
    assert_eq!(ledger(&memory), [2, 2, 0, 0]);
}

#[test]
fn a_record_that_is_never_completed_is_torn_and_holds_nothing_up() {
    let (mut memory, shared) = memory();
    drop(shared.begin(1, &call(1, 0)));
    for ordinal in 1..=u32::try_from(PATIENCE).unwrap() {
        write(shared, 1, &call(1, ordinal));
    }
    // Before its writer is given up, nothing is lost.
    assert_eq!(drain(&mut memory, Writers::Alive).len() as u64, PATIENCE);
    assert_eq!(ledger(&memory), [PATIENCE + 1, PATIENCE, 0, 1]);
    // A server that was killed.
    drop(shared.begin(1, &call(1, 0)));
    write(shared, 1, &call(1, 1));
    assert_eq!(drain(&mut memory, Writers::Gone), [call(1, 1)]);
    assert_eq!(ledger(&memory), [PATIENCE + 3, PATIENCE + 1, 0, 2]);
}

#[test]
fn a_record_of_an_arm_that_does_not_exist_is_torn() {
    let (mut memory, shared) = memory();
    write(
        shared,
        0,
        &Call {
            arm: 3,
            ..call(1, 0)
        },
    );
    write(
        shared,
        0,
        &Call {
            arm: 255,
            ..call(1, 1)
        },
    );
    write(shared, 0, &call(1, 2));
    assert_eq!(drain(&mut memory, Writers::Gone), [call(1, 2)]);
    assert_eq!(ledger(&memory), [3, 1, 0, 2]);
}

#[test]
fn a_head_that_cannot_be_costs_a_bounded_time_and_is_counted() {
    let (mut memory, shared) = memory();
    write(shared, 0, &call(1, 0));
    drain(&mut memory, Writers::Alive);
    for head in [
        u64::MAX,
        0,
        1 << 40,
        2,
        u64::MAX,
        u64::MAX - 1,
        SLOTS_IN_RING,
    ] {
        for ring in &shared.heads {
            ring.next.store(head, Relaxed);
        }
        assert_eq!(drain(&mut memory, Writers::Gone), [], "{head}");
    }
    let [begun, read, overwritten, torn] = ledger(&memory);
    assert_eq!((read, begun), (1, 1 + overwritten + torn));
    assert!(overwritten > MOST_AHEAD, "{overwritten}");
}

#[test]
fn garbage_is_no_record() {
    let (mut memory, shared) = memory();
    let mut random = ChaCha8Rng::seed_from_u64(1);
    for turn in 1..4 {
        for (ring, head) in shared.rings.iter().zip(&shared.heads) {
            head.next.store(turn * (SLOTS_IN_RING - 5), Relaxed);
            for word in ring.iter().flatten() {
                word.store(random.next_u64(), Relaxed);
            }
        }
        assert_eq!(drain(&mut memory, Writers::Gone), []);
    }
    assert_eq!(ledger(&memory)[0], 3 * (SLOTS_IN_RING - 5) * RINGS as u64);
}

#[test]
fn the_memory_is_all_there_and_nobody_can_cut_it_off() {
    let (memory, shared) = memory();
    let metadata = memory.file.metadata().unwrap();
    assert_eq!(metadata.len(), size_of::<Shared>() as u64);
    assert!(metadata.blocks() * 512 >= metadata.len(), "it is sparse");
    let file = File::from(memory.descriptor().unwrap());
    assert!(file.set_len(0).is_err() && file.set_len(1 << 30).is_err());
    for seal in [SealFlags::WRITE, SealFlags::FUTURE_WRITE] {
        assert!(fcntl_add_seals(&file, seal).is_err(), "{seal:?}");
    }
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    let truncated = File::options().write(true).truncate(true).open(path);
    assert!(truncated.is_err());
    assert_eq!(shared.magic.load(Acquire), MAGIC);
    for is_recording in [true, false] {
        memory.set_recording(is_recording).unwrap();
        assert_eq!(shared.is_recording.load(Acquire), u64::from(is_recording));
    }
}

#[test]
fn who_has_it_mapped_is_known() {
    let (memory, _shared) = memory();
    let (trial, ours) = (memory.trial, std::process::id().cast_signed());
    assert!(memory.is_mapped_by(ours).unwrap());
    let other = SharedMemory::create(&trial).unwrap();
    assert!(!other.is_mapped_by(ours).unwrap());
}

#[test]
fn a_server_cannot_keep_us_from_writing_or_reading() {
    let (mut memory, shared) = memory();
    let theirs = File::from(memory.descriptor().unwrap());
    fcntl_setfl(&theirs, OFlags::APPEND | OFlags::NONBLOCK).unwrap();
    memory.set_recording(true).unwrap();
    assert_eq!(shared.is_recording.load(Acquire), 1);
    // Holes are zeros, to us and to who has mapped them.
    write(shared, 0, &call(1, 0));
    let hole = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    fallocate(&theirs, hole, 0, size_of::<Shared>() as u64).unwrap();
    assert_eq!(drain(&mut memory, Writers::Alive), []);
    assert_eq!(shared.is_recording.load(Acquire), 0);
    write(shared, 0, &call(1, 1));
    assert_eq!(drain(&mut memory, Writers::Gone), [call(1, 1)]);
}

#[test]
fn what_the_server_has_counted_stands_under_the_names_of_the_arms() {
    let (memory, shared) = memory();
    for (count, times) in [
        (Count::Connections, 2),
        (Count::FirstRequests, 3),
        (Count::WithoutSalt, 4),
        (Count::OffBoundary, 5),
        (Count::BeyondRequest, 6),
        (Count::Processes, 7),
        (Count::Unrecordable, 8),
    ] {
        (0..times).for_each(|_| shared.count(count));
    }
    shared.add(2, ArmCount::Requests, 10);
    shared.add(2, ArmCount::Calls, 11);
    shared.add(2, ArmCount::Unreached, 12);
    shared.add(2, ArmCount::Bytes, 13);
    shared.add(3, ArmCount::Calls, 99);
    let expected = ServerCounts {
        connections: 2,
        first_requests: 3,
        without_salt: 4,
        off_boundary: 5,
        beyond_request: 6,
        processes: 7,
        arms: [
            ("off".to_owned(), ArmCounts::default()),
            ("null".to_owned(), ArmCounts::default()),
            (
                "on".to_owned(),
                ArmCounts {
                    requests: 10,
                    calls: 11,
                    unreached: 12,
                    bytes: 13,
                },
            ),
        ]
        .into(),
        records: RecordLedger {
            unrecordable: 8,
            ..RecordLedger::default()
        },
    };
    assert_eq!(memory.counts().unwrap(), expected);
}

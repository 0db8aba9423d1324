//! Writers that come and go, die in the middle, or write nonsense, while the agent reads.
//!
//! Each test takes a second or less, or as long as `HOOKPROBE_STRESS_SECONDS` says: `cargo xtask prove records-stress`.

use std::collections::HashSet;
use std::env;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::thread;
use std::time::{Duration, Instant};

use super::*;

/// A process that writes until it is killed.
mod writer {
    #![allow(unsafe_code, reason = "a child of fork shares the memory")]

    use abi::trial::shared::{RINGS, Shared};

    use super::super::call;

    /// It dies with this value, and with the test.
    pub struct Writer(libc::pid_t);

    impl Writer {
        pub fn start(shared: &'static Shared, number: u32) -> Self {
            // SAFETY: the child calls nothing but `prctl`: it writes to memory that is mapped.
            match unsafe { libc::fork() } {
                0 => {
                    // SAFETY: this option takes a number.
                    unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
                    for ordinal in (0..u32::MAX).cycle() {
                        let call = call(number, ordinal);
                        shared.begin(number as usize % RINGS, &call).complete();
                    }
                    unreachable!()
                }
                child => {
                    assert!(child > 0, "fork");
                    Self(child)
                }
            }
        }
    }

    impl Drop for Writer {
        fn drop(&mut self) {
            // SAFETY: it is our child, and nobody else waits for it.
            unsafe { libc::kill(self.0, libc::SIGKILL) };
            // SAFETY: no status is asked for.
            unsafe { libc::waitpid(self.0, std::ptr::null_mut(), 0) };
        }
    }
}

/// Whether a test that has gone on for so many turns goes on.
fn goes_on(turns: u32, since: Instant) -> bool {
    const TURNS: u32 = 30;
    match env::var("HOOKPROBE_STRESS_SECONDS") {
        Ok(seconds) => since.elapsed() < Duration::from_secs(seconds.parse().unwrap()),
        Err(_) => turns < TURNS,
    }
}

fn heads(shared: &Shared) -> u64 {
    let heads = shared.heads.iter();
    heads.map(|head| head.next.load(Relaxed)).sum()
}

/// Whatever was read is what was written.
fn check(calls: &[Call]) {
    for read in calls {
        let writer = u32::try_from(read.salt).unwrap();
        assert_eq!(*read, call(writer, read.ordinal));
    }
}

#[test]
fn what_threads_write_that_come_and_go_is_read_once_or_counted() {
    const WRITERS: u32 = 6;
    const EACH: u32 = 10_000;
    let (mut memory, shared) = memory();
    let since = Instant::now();
    let (mut turns, mut read_all) = (0, 0);
    while goes_on(6 * turns, since) {
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                thread::spawn(move || {
                    for ordinal in 0..EACH {
                        let storage = 0x7f00_0000_1740 + ((writer as usize) << 23);
                        shared.record(storage, &call(writer, ordinal));
                    }
                })
            })
            .collect();
        let mut calls = Vec::new();
        while !writers.iter().all(thread::JoinHandle::is_finished) {
            calls.extend(drain(&mut memory, Writers::Alive));
        }
        calls.extend(drain(&mut memory, Writers::Gone));
        check(&calls);
        let different: HashSet<_> = calls.iter().map(|call| (call.salt, call.ordinal)).collect();
        assert_eq!(different.len(), calls.len(), "a record was read twice");
        turns += 1;
        read_all += calls.len() as u64;
    }
    let [begun, read, ..] = ledger(&memory);
    assert_eq!(begun, u64::from(turns) * u64::from(WRITERS * EACH));
    assert_eq!(read, read_all);
    let per_s = begun as f64 / since.elapsed().as_secs_f64();
    println!("{begun} records, {read} of them read; {per_s:.0} records/s");
}

#[test]
fn a_writer_that_is_killed_costs_no_more_than_its_record() {
    let (mut memory, shared) = memory();
    let since = Instant::now();
    let mut turns = 0;
    while goes_on(turns, since) {
        let before = heads(shared);
        let writers = [0, 1, 2].map(|number| writer::Writer::start(shared, 3 * turns + number));
        while heads(shared) < before + 1_000 {
            check(&drain(&mut memory, Writers::Alive));
        }
        drop(writers);
        turns += 1;
    }
    check(&drain(&mut memory, Writers::Gone));
    // One that comes later finds all as it should be.
    write(shared, 0, &call(7, 7));
    assert_eq!(drain(&mut memory, Writers::Gone), [call(7, 7)]);
    let [begun, read, overwritten, torn] = ledger(&memory);
    assert_eq!(begun, heads(shared));
    assert!(torn <= u64::from(3 * turns), "{torn} after {turns} turns");
    println!("{begun} records: {read} read, {overwritten} overwritten, {torn} torn");
}

/// Where nonsense has heads go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Heads {
    /// Ahead, as writers have them.
    Ahead,
    /// Anywhere: what the reader expects is then in no slot.
    Anywhere,
}

/// Writes whatever it likes wherever it likes, and what looks like records.
fn write_nonsense(shared: &Shared, heads: Heads, random: &mut ChaCha8Rng) {
    let word = match random.next_u32() % 4 {
        0 => 0,
        1 => u64::MAX - u64::from(random.next_u32() % 4),
        2 => u64::from(random.next_u32()),
        _ => random.next_u64(),
    };
    let place = random.next_u32() as usize;
    let (ring, slot) = (place % RINGS, place / RINGS % SLOTS);
    match random.next_u32() % 8 {
        0 if heads == Heads::Anywhere => shared.heads[ring].next.store(word, Relaxed),
        0 => drop(shared.heads[ring].next.fetch_add(word % 256, Relaxed)),
        1 => shared.counts[place % Count::COUNT].store(word, Relaxed),
        2 => shared.by_arm[place % MAX_ARMS][place % ArmCount::COUNT].store(word, Relaxed),
        3 => shared.is_recording.store(word, Relaxed),
        4 => shared.magic.store(word, Relaxed),
        5 => shared.rings[ring][slot][place % 8].store(word, Relaxed),
        6 => {
            // It fits the slot, and perhaps what the reader expects there.
            let known = shared.heads[ring].next.load(Relaxed);
            let number = known.wrapping_sub(word % SLOTS_IN_RING);
            let mut call = call(random.next_u32(), random.next_u32());
            call.arm = random.next_u32().to_le_bytes()[0];
            let record = call.encode(number);
            let slot = &shared.rings[ring][(number % SLOTS_IN_RING) as usize];
            for (place, word) in slot[1..].iter().zip(record.words) {
                place.store(word, Relaxed);
            }
            slot[7].store(record.checksum, Relaxed);
            slot[0].store(record.sequence, Release);
        }
        _ => write(shared, ring, &call(1, random.next_u32())),
    }
}

#[test]
fn nonsense_costs_a_bounded_time_and_harms_nobody_else() {
    for heads in [Heads::Ahead, Heads::Anywhere] {
        check_nonsense(heads);
    }
}

fn check_nonsense(heads: Heads) {
    let is_over = Arc::new(AtomicBool::new(false));
    let written = Arc::new(AtomicU64::new(0));
    let (mut memory, shared) = memory();
    let (mut other, others) = super::memory();
    let fuzzer = thread::spawn({
        let (is_over, written) = (Arc::clone(&is_over), Arc::clone(&written));
        move || {
            let mut random = ChaCha8Rng::seed_from_u64(2);
            while !is_over.load(Relaxed) {
                write_nonsense(shared, heads, &mut random);
                written.fetch_add(1, Relaxed);
            }
        }
    });
    let since = Instant::now();
    let mut turns = 0;
    while goes_on(turns, since) {
        while written.load(Relaxed) < u64::from(turns) * 10_000 {
            thread::yield_now();
        }
        for writers in [Writers::Alive, Writers::Gone] {
            // There are no more records than slots, whatever heads say.
            let calls = drain(&mut memory, writers);
            assert!(calls.len() <= RINGS * SLOTS);
            assert!(calls.iter().all(|call| call.arm < 3));
        }
        write(others, 3, &call(5, turns));
        assert_eq!(drain(&mut other, Writers::Alive), [call(5, turns)]);
        turns += 1;
    }
    is_over.store(true, Relaxed);
    fuzzer.join().unwrap();
    drain(&mut memory, Writers::Gone);
    let [begun, read, overwritten, torn] = ledger(&memory);
    assert!(overwritten > 0 && torn > 0);
    assert!(read > 0 || heads == Heads::Anywhere);
    assert_eq!(ledger(&other), [u64::from(turns), u64::from(turns), 0, 0]);
    println!(
        "{begun} records: {read} read, {overwritten} overwritten, {torn} torn, in {turns} turns"
    );
}

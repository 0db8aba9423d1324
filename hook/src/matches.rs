//! How many reads had a word of the list in them: `readhook_matches`, which the program itself, a debugger
//! or an agent can read at any time, without a tracer.
#![allow(unsafe_code, reason = "a symbol of this name is what others look for")]

use core::sync::atomic::{AtomicU64, Ordering};

/// Counters, so that threads with connections of their own seldom share one.
const COUNTERS: usize = 16;

/// A counter on a cache line of its own.
#[repr(C, align(64))]
pub struct Counter(AtomicU64);

/// In C: `extern struct { uint64_t count; char unused[56]; } readhook_matches[16];`. Their sum counts.
#[cfg_attr(not(test), unsafe(no_mangle))]
#[allow(non_upper_case_globals, reason = "it is a name for C")]
pub static readhook_matches: [Counter; COUNTERS] = [const { Counter(AtomicU64::new(0)) }; COUNTERS];

/// Counts a match in what was read from a descriptor.
#[inline]
pub fn count(fd: i32) {
    let counter = &readhook_matches[fd.cast_unsigned() as usize % COUNTERS];
    counter.0.fetch_add(1, Ordering::Relaxed);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_match_is_counted_once() {
        let sum = || -> u64 {
            let counters = readhook_matches.iter();
            counters
                .map(|counter| counter.0.load(Ordering::Relaxed))
                .sum()
        };
        let before = sum();
        std::thread::scope(|scope| {
            for thread in 0..4 {
                scope.spawn(move || (0..1_000).for_each(|call| count(thread * 7 + call % 3)));
            }
        });
        assert_eq!(sum() - before, 4_000);
        count(-1);
        assert_eq!(sum() - before, 4_001);
    }
}

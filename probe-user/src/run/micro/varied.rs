//! Code that is not the hook's: many functions with many branches, to take the hook's place in the L1
//! instruction cache and in the branch predictors.
//!
//! Each function is compiled for a number of its own, so that no two are the same code, and its branches go
//! by bits of its argument, so that none is easily predicted.

/// A function like the others, and not the same.
#[inline(never)]
fn varied<const N: u64>(mut state: u64) -> u64 {
    let mut taken = N;
    for step in 0..4_u64 {
        if state & 1 == 0 {
            taken = taken.wrapping_mul(0x9e37_79b9_7f4a_7c15 ^ N);
        } else {
            taken = taken.rotate_left(5) ^ step;
        }
        if state & 2 == 0 {
            taken ^= state >> (N % 31 + 1);
        } else {
            taken = taken.wrapping_add(state | N);
        }
        if state & 4 == 0 {
            state = state.wrapping_add(taken ^ (N << 7));
        } else {
            state = state.rotate_right(11) ^ taken;
        }
        state = state.rotate_right(3).wrapping_mul(N | 1);
    }
    std::hint::black_box(state ^ taken)
}

macro_rules! sixteen {
    ($base:expr) => {
        [
            varied::<{ $base }>,
            varied::<{ $base + 1 }>,
            varied::<{ $base + 2 }>,
            varied::<{ $base + 3 }>,
            varied::<{ $base + 4 }>,
            varied::<{ $base + 5 }>,
            varied::<{ $base + 6 }>,
            varied::<{ $base + 7 }>,
            varied::<{ $base + 8 }>,
            varied::<{ $base + 9 }>,
            varied::<{ $base + 10 }>,
            varied::<{ $base + 11 }>,
            varied::<{ $base + 12 }>,
            varied::<{ $base + 13 }>,
            varied::<{ $base + 14 }>,
            varied::<{ $base + 15 }>,
        ]
    };
}

macro_rules! sixteen_times_sixteen {
    ($base:expr) => {
        [
            sixteen!($base),
            sixteen!($base + 16),
            sixteen!($base + 32),
            sixteen!($base + 48),
            sixteen!($base + 64),
            sixteen!($base + 80),
            sixteen!($base + 96),
            sixteen!($base + 112),
            sixteen!($base + 128),
            sixteen!($base + 144),
            sixteen!($base + 160),
            sixteen!($base + 176),
            sixteen!($base + 192),
            sixteen!($base + 208),
            sixteen!($base + 224),
            sixteen!($base + 240),
        ]
    };
}

/// Its type.
type Varied = fn(u64) -> u64;

/// The functions.
static FUNCTIONS: [[[Varied; 16]; 16]; 4] = [
    sixteen_times_sixteen!(0x100),
    sixteen_times_sixteen!(0x200),
    sixteen_times_sixteen!(0x300),
    sixteen_times_sixteen!(0x400),
];

fn all() -> impl Iterator<Item = Varied> {
    FUNCTIONS.iter().flatten().flatten().copied()
}

/// How many functions there are.
pub fn functions() -> u64 {
    all().count() as u64
}

/// Runs each once. What they make of `state` makes the next run another.
pub fn run(state: u64) -> u64 {
    all().fold(state, |state, function| function(state))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn no_two_functions_are_one() {
        let addresses: BTreeSet<usize> = all()
            .map(|function| function as *const () as usize)
            .collect();
        assert_eq!(addresses.len(), 1024);
        // In more than 64 KiB, the largest L1 instruction caches of our time.
        let (first, last) = (addresses.first().unwrap(), addresses.last().unwrap());
        assert!(last - first > 64 * 1024, "{}", last - first);
        assert_ne!(run(1), run(2));
    }
}

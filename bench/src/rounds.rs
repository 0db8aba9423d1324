//! The order of a bench: everything once in each round, in an order drawn anew, so that what drifts falls on all alike.

use clap::Args;
use rand::seq::SliceRandom as _;
use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

/// The seed of the order.
#[derive(Args, Clone, Copy, Debug)]
pub struct Seed {
    /// Seed of the order [default: drawn]
    #[arg(long, value_name = "S")]
    seed: Option<u64>,
}

impl Seed {
    /// The one that was given, or another.
    pub fn drawn(self) -> u64 {
        self.seed.unwrap_or_else(|| rand::rng().random())
    }
}

/// Passes the numbers below `count` on, all of them in each round, with the number of the round. Ends early with an
/// error.
pub fn interleaved<E>(
    rounds: u32,
    seed: u64,
    count: usize,
    mut measure: impl FnMut(u32, usize) -> Result<(), E>,
) -> Result<(), E> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut order: Vec<usize> = (0..count).collect();
    for round in 1..=rounds {
        order.shuffle(&mut random);
        eprintln!("round {round} of {rounds}");
        for index in &order {
            measure(round, *index)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::ops::Range;

    use super::*;

    #[test]
    fn each_round_has_everything_once_until_an_error() {
        let mut seen = Vec::new();
        let mut see = |round, index| {
            seen.push((round, index));
            if seen.len() < 25 {
                Ok(())
            } else {
                Err("enough")
            }
        };
        assert_eq!(interleaved(3, 1, 10, &mut see), Err("enough"));
        let round = |range: Range<usize>| seen[range].iter().map(|(_, index)| *index);
        assert!(round(0..10).ne(round(10..20)), "another order");
        let mut second: Vec<usize> = round(10..20).collect();
        second.sort_unstable();
        assert!(second.into_iter().eq(0..10));
        assert!(seen[20..].iter().all(|(round, _)| *round == 3));
        assert_eq!(seen.len(), 25);
    }
}

//! When requests are due in an open loop. The plan depends on the rate, the seed and nothing else: not on
//! what the server does, nor on when the load generator gets to run.

use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use runlog::summary::Spacing;

/// A time that is drawn again and again, always the same or exponentially distributed.
#[derive(Clone, Debug)]
pub struct Draws {
    spacing: Spacing,
    mean_ns: f64,
    random: ChaCha8Rng,
}

impl Draws {
    /// Draws for one block. Each block has a sequence of its own, which the seed of the run decides.
    pub fn new(spacing: Spacing, mean_ns: f64, seed: u64, block: u32) -> Self {
        // ChaCha: the same seed gives the same plan in every version of the crate.
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        // Stream 0 decides about the order of the blocks, 1 which requests of a file are taken.
        random.set_stream(2 + u64::from(block));
        Self {
            spacing,
            mean_ns,
            random,
        }
    }

    /// The next one.
    pub fn next_ns(&mut self) -> f64 {
        match self.spacing {
            Spacing::Constant => self.mean_ns,
            Spacing::Exponential => {
                let below_one: f64 = self.random.random();
                -(1.0 - below_one).ln() * self.mean_ns
            }
        }
    }
}

/// The planned instants of a block, in order.
#[derive(Clone, Debug)]
pub struct Arrivals {
    draws: Draws,
    /// The first instant of the plan.
    start_ns: u64,
    /// From there to the next arrival. A sum of at most 2^53 ns, 104 days, is exact to the nanosecond.
    offset_ns: f64,
    /// No request is due from here on.
    end_ns: u64,
    left: u64,
    last_ns: u64,
}

impl Arrivals {
    /// A plan of at most `requests` from `start_ns` on, none of them due at `end_ns` or later.
    pub fn new(mut draws: Draws, start_ns: u64, end_ns: u64, requests: u64) -> Self {
        let offset_ns = match draws.spacing {
            Spacing::Constant => 0.0,
            // A Poisson process has no arrival at its start but by chance.
            Spacing::Exponential => draws.next_ns(),
        };
        Self {
            draws,
            start_ns,
            offset_ns,
            end_ns,
            left: requests,
            last_ns: start_ns,
        }
    }

    /// The instant at which the next request is due; `None` when the plan is at its end.
    pub fn next_ns(&self) -> Option<u64> {
        let due_ns = self.start_ns + whole_ns(self.offset_ns);
        (self.left > 0 && due_ns < self.end_ns).then_some(due_ns)
    }

    /// When the request that was taken last was due; before the first, the start.
    pub fn last_ns(&self) -> u64 {
        self.last_ns
    }

    /// Takes the request that is due next out of the plan.
    pub fn take(&mut self) {
        self.last_ns = self.start_ns + whole_ns(self.offset_ns);
        self.offset_ns += self.draws.next_ns();
        self.left = self.left.saturating_sub(1);
    }
}

/// Rounds to whole nanoseconds.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
pub fn whole_ns(ns: f64) -> u64 {
    ns.round() as u64 // times are not negative, and a cast ends at the largest number
}

#[cfg(test)]
mod tests;

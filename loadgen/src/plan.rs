//! Which block goes to which arm, when.

use rand::seq::SliceRandom as _;
use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use runlog::Order;

/// One run of consecutive requests to one arm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block {
    /// Index of the arm; 0 in a trial, where a block has requests of all arms.
    pub arm: u16,
    /// Whether the probes are to be attached.
    pub observed: bool,
    /// Requests; `u64::MAX` where the time decides alone.
    pub requests: u64,
    /// How long requests are sent.
    pub time_ns: Option<u64>,
    /// How many of them, at the start, count as warm-up.
    pub warmup: u64,
    /// Number of the arm's server.
    pub server: usize,
}

/// What a plan is made from. A cell is an arm in one state of the probes; in a trial, all arms.
#[derive(Clone, Copy, Debug)]
pub struct Design {
    /// Number of arms that have blocks of their own: 1 in a trial.
    pub arms: u16,
    /// Whether each arm is also measured with the probes attached.
    pub observe: bool,
    /// Requests per cell; in a duet, of each pair. None where the time decides alone.
    pub requests: Option<u64>,
    /// How long requests are sent, per cell; in a duet, per pair.
    pub time_ns: Option<u64>,
    /// Blocks per cell; in a duet, of each pair.
    pub blocks: u32,
    /// Servers of each arm.
    pub servers: u32,
    /// First requests of a cell that count as warm-up; in a trial, as many of each server as make up this number.
    pub warmup: u64,
    /// First requests of a block that count as warm-up.
    pub block_warmup: u64,
    /// Order.
    pub order: Order,
    /// Seed of the random order.
    pub seed: u64,
}

impl Design {
    /// The blocks, in the order in which they run: as many at once as [`Order::at_once`] says.
    pub fn blocks(&self) -> Vec<Block> {
        // ChaCha: the same seed gives the same order in every version of the crate.
        let mut random = ChaCha8Rng::seed_from_u64(self.seed);
        match self.order {
            Order::Sequential => self.sequential(),
            Order::Rmit | Order::Trial => self.interleaved(&mut random),
            Order::Duet => self.duet(&mut random),
        }
    }

    /// The states of the probes that each arm is measured in.
    fn states(&self) -> &'static [bool] {
        if self.observe {
            &[false, true]
        } else {
            &[false]
        }
    }

    fn sequential(&self) -> Vec<Block> {
        let mut blocks = Vec::new();
        for arm in 0..self.arms {
            for observed in self.states() {
                blocks.extend((0..self.blocks).map(|round| self.block(arm, *observed, round)));
            }
        }
        blocks
    }

    fn interleaved(&self, random: &mut ChaCha8Rng) -> Vec<Block> {
        let arms: Vec<u16> = (0..self.arms).collect();
        let mut blocks = Vec::new();
        for round in 0..self.blocks {
            for observed in shuffled(self.states(), random) {
                for arm in shuffled(&arms, random) {
                    blocks.push(self.block(arm, observed, round));
                }
            }
        }
        blocks
    }

    fn duet(&self, random: &mut ChaCha8Rng) -> Vec<Block> {
        let others: Vec<u16> = (1..self.arms).collect();
        // Whether the first arm was on the second side, of each pair and state in the round before.
        let mut was_second = vec![[false; 2]; usize::from(self.arms)];
        let mut blocks = Vec::new();
        for round in 0..self.blocks {
            for observed in shuffled(self.states(), random) {
                for other in shuffled(&others, random) {
                    let second = &mut was_second[usize::from(other)][usize::from(observed)];
                    *second = if round % 2 == 0 {
                        random.random()
                    } else {
                        !*second
                    };
                    let sides = if *second { [other, 0] } else { [0, other] };
                    blocks.extend(sides.map(|arm| self.block(arm, observed, round)));
                }
            }
        }
        blocks
    }

    /// The block of a cell in a round. The first rounds take one request more where the requests
    /// do not divide evenly.
    fn block(&self, arm: u16, observed: bool, round: u32) -> Block {
        let (blocks, number) = (u64::from(self.blocks), u64::from(round));
        let servers = u64::from(self.servers);
        let (requests, warmup) = match self.requests {
            Some(requests) => {
                let (share, rest) = (requests / blocks, requests % blocks);
                let in_round = |round| share + u64::from(round < rest);
                let (warmup, before) = match self.order {
                    // Each server counts by itself, so each is warmed up.
                    Order::Trial => {
                        let own_rounds = (number % servers..number).step_by(self.servers as usize);
                        let before: u64 = own_rounds.map(in_round).sum();
                        (self.warmup.div_ceil(servers), before)
                    }
                    Order::Rmit | Order::Duet | Order::Sequential => {
                        (self.warmup, share * number + rest.min(number))
                    }
                };
                (in_round(number), warmup.saturating_sub(before))
            }
            // How many requests come before is known when they have been sent: see `Numbering`.
            None => (u64::MAX, 0),
        };
        let warmup = warmup.max(self.block_warmup);
        // In a duet both rounds of two are of the same servers, each once on either side.
        let turn = match self.order {
            Order::Duet => number / 2,
            Order::Rmit | Order::Sequential | Order::Trial => number,
        };
        Block {
            server: usize::try_from(turn % servers).unwrap_or(0),
            arm,
            observed,
            requests,
            time_ns: self.time_ns.map(|time_ns| time_ns / blocks),
            warmup: warmup.min(requests),
        }
    }
}

fn shuffled<T: Copy>(values: &[T], random: &mut ChaCha8Rng) -> Vec<T> {
    let mut values = values.to_vec();
    values.shuffle(random);
    values
}

#[cfg(test)]
mod tests;

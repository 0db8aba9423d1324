//! Which block goes to which arm, when.

use rand::seq::SliceRandom as _;
use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use runlog::Order;

/// One run of consecutive requests to one arm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block {
    /// Index of the arm.
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

/// What a plan is made from. A cell is an arm in one state of the probes.
#[derive(Clone, Copy, Debug)]
pub struct Design {
    /// Number of arms.
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
    /// First requests of a cell that count as warm-up.
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
            Order::Rmit => self.interleaved(&mut random),
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
        let (requests, warmup) = match self.requests {
            Some(requests) => {
                let (share, rest) = (requests / blocks, requests % blocks);
                let before = share * number + rest.min(number);
                let requests = share + u64::from(number < rest);
                (requests, self.warmup.saturating_sub(before))
            }
            // How many requests come before is known when they have been sent: see `Numbering`.
            None => (u64::MAX, 0),
        };
        let warmup = warmup.max(self.block_warmup);
        // In a duet both rounds of two are of the same servers, each once on either side.
        let turn = match self.order {
            Order::Duet => number / 2,
            Order::Rmit | Order::Sequential => number,
        };
        Block {
            server: usize::try_from(turn % u64::from(self.servers)).unwrap_or(0),
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
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    const DESIGN: Design = Design {
        arms: 3,
        observe: true,
        requests: Some(103),
        time_ns: None,
        blocks: 10,
        servers: 3,
        warmup: 25,
        block_warmup: 2,
        order: Order::Rmit,
        seed: 1,
    };

    fn of_cell(blocks: &[Block], arm: u16, observed: bool) -> Vec<Block> {
        let is_cell = |block: &&Block| (block.arm, block.observed) == (arm, observed);
        blocks.iter().filter(is_cell).copied().collect()
    }

    #[test]
    fn every_cell_gets_its_requests_and_warmup() {
        for order in [Order::Rmit, Order::Sequential] {
            let blocks = Design { order, ..DESIGN }.blocks();
            assert_eq!(blocks.len(), 60);
            for arm in 0..3 {
                for observed in [false, true] {
                    let cell = of_cell(&blocks, arm, observed);
                    let sizes: Vec<u64> = cell.iter().map(|block| block.requests).collect();
                    assert_eq!(sizes, [11, 11, 11, 10, 10, 10, 10, 10, 10, 10]);
                    let warmup: Vec<u64> = cell.iter().map(|block| block.warmup).collect();
                    assert_eq!(warmup, [11, 11, 3, 2, 2, 2, 2, 2, 2, 2]);
                    let servers: Vec<usize> = cell.iter().map(|block| block.server).collect();
                    assert_eq!(servers, [0, 1, 2, 0, 1, 2, 0, 1, 2, 0]);
                }
            }
        }
    }

    #[test]
    fn rmit_gives_each_round_every_cell_once_in_changing_order() {
        let blocks = DESIGN.blocks();
        let rounds: Vec<Vec<(u16, bool)>> = blocks
            .chunks(6)
            .map(|round| {
                round
                    .iter()
                    .map(|block| (block.arm, block.observed))
                    .collect()
            })
            .collect();
        for round in &rounds {
            let mut sorted = round.clone();
            sorted.sort_unstable();
            sorted.dedup();
            assert_eq!(sorted.len(), 6);
        }
        assert!(rounds.windows(2).any(|pair| pair[0] != pair[1]));
        // The probes change state at most once within a round.
        let changes = |round: &[(u16, bool)]| round.windows(2).filter(|w| w[0].1 != w[1].1).count();
        assert!(rounds.iter().all(|round| changes(round) == 1));
        assert!(rounds.iter().any(|round| round[0].1) && rounds.iter().any(|round| !round[0].1));
        assert_eq!(blocks, DESIGN.blocks(), "the seed decides");
        assert_ne!(blocks, Design { seed: 2, ..DESIGN }.blocks());
    }

    #[test]
    fn sequential_finishes_an_arm_before_the_next() {
        let blocks = Design {
            order: Order::Sequential,
            ..DESIGN
        }
        .blocks();
        assert!(blocks.is_sorted_by_key(|block| block.arm));
    }

    #[test]
    fn a_duet_sets_the_first_arm_beside_each_other_and_changes_sides() {
        let blocks = Design {
            order: Order::Duet,
            ..DESIGN
        }
        .blocks();
        // Two pairs, two states, ten rounds, two blocks.
        assert_eq!(blocks.len(), 80);
        let mut firsts: BTreeMap<(u16, bool), Vec<bool>> = BTreeMap::new();
        for pair in blocks.chunks(2) {
            let (left, right) = (pair[0], pair[1]);
            assert_eq!(left.observed, right.observed);
            assert_eq!((left.requests, left.warmup), (right.requests, right.warmup));
            assert_eq!((left.arm.min(right.arm), left.server), (0, right.server));
            let key = (left.arm.max(right.arm), left.observed);
            firsts.entry(key).or_default().push(left.arm == 0);
        }
        let pairs: Vec<(u16, bool)> = firsts.keys().copied().collect();
        assert_eq!(pairs, [(1, false), (1, true), (2, false), (2, true)]);
        for sides in firsts.values() {
            assert_eq!(sides.len(), 10);
            assert!(sides.chunks(2).all(|two| two[0] != two[1]), "{sides:?}");
        }
        let starts = firsts.values().flat_map(|sides| sides.iter().step_by(2));
        assert!(starts.clone().any(|first| *first) && starts.clone().any(|first| !*first));
        // A round is over before the next begins.
        for round in blocks.chunks(8) {
            let mut pairs: Vec<_> = round
                .chunks(2)
                .map(|pair| (pair[0].arm.max(pair[1].arm), pair[0].observed))
                .collect();
            pairs.sort_unstable();
            pairs.dedup();
            assert_eq!(pairs.len(), 4);
        }
    }
}

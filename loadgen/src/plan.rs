//! Which block goes to which arm, when.

use rand::SeedableRng as _;
use rand::seq::SliceRandom as _;
use rand_chacha::ChaCha8Rng;

/// Order of the blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Order {
    /// Randomized multiple interleaved trials: each round gives every arm one block, in an order
    /// drawn anew.
    ///
    /// With probes, a round has two halves, attached and detached, drawn anew too (a split-plot
    /// design): attaching and detaching takes the kernel a grace period, and arms that are compared
    /// stay close in time.
    Rmit,
    /// All blocks of the first arm, then all of the next, as in the paper.
    Sequential,
}

/// One run of consecutive requests to one arm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block {
    /// Index of the arm.
    pub arm: u16,
    /// Whether the probes are to be attached.
    pub observed: bool,
    /// Requests.
    pub requests: u64,
    /// How many of them, at the start, count as warm-up.
    pub warmup: u64,
}

/// What a plan is made from. A cell is an arm in one state of the probes.
#[derive(Clone, Copy, Debug)]
pub struct Design {
    /// Number of arms.
    pub arms: u16,
    /// Whether each arm is also measured with the probes attached.
    pub observe: bool,
    /// Requests per cell.
    pub requests: u64,
    /// Blocks per cell.
    pub blocks: u32,
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
    /// The blocks, in the order in which they run.
    pub fn blocks(&self) -> Vec<Block> {
        let states: &[bool] = if self.observe {
            &[false, true]
        } else {
            &[false]
        };
        let arms: Vec<u16> = (0..self.arms).collect();
        let mut blocks = Vec::new();
        match self.order {
            Order::Sequential => {
                for arm in arms {
                    for observed in states {
                        blocks.extend(
                            (0..self.blocks).map(|round| self.block(arm, *observed, round)),
                        );
                    }
                }
            }
            Order::Rmit => {
                // ChaCha: the same seed gives the same order in every version of the crate.
                let mut random = ChaCha8Rng::seed_from_u64(self.seed);
                let shuffled = |values: &[u16], random: &mut ChaCha8Rng| {
                    let mut values = values.to_vec();
                    values.shuffle(random);
                    values
                };
                for round in 0..self.blocks {
                    let mut halves = states.to_vec();
                    halves.shuffle(&mut random);
                    for observed in halves {
                        for arm in shuffled(&arms, &mut random) {
                            blocks.push(self.block(arm, observed, round));
                        }
                    }
                }
            }
        }
        blocks
    }

    /// The block of a cell in a round. The first rounds take one request more where the requests
    /// do not divide evenly.
    fn block(&self, arm: u16, observed: bool, round: u32) -> Block {
        let (blocks, round) = (u64::from(self.blocks), u64::from(round));
        let (share, rest) = (self.requests / blocks, self.requests % blocks);
        let before = share * round + rest.min(round);
        let requests = share + u64::from(round < rest);
        let warmup = self.warmup.saturating_sub(before).max(self.block_warmup);
        Block {
            arm,
            observed,
            requests,
            warmup: warmup.min(requests),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DESIGN: Design = Design {
        arms: 3,
        observe: true,
        requests: 103,
        blocks: 10,
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
}

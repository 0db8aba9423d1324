//! Numbers for blocks and requests, and the warm-up of blocks that last for a time: how many requests come
//! before and in them is known only when they have ended.

use std::collections::HashMap;

use crate::client::Numbered;
use crate::plan::{Block, Design};

/// An arm, the arm beside it if there is one, and the state of the probes.
type Cell = (u16, Option<u16>, bool);

/// Gives out the numbers.
#[derive(Debug)]
pub struct Numbering {
    warmup: u64,
    next_block: u32,
    next_sequence: u64,
    sent: HashMap<Cell, u64>,
}

impl Numbering {
    /// Nothing is numbered yet.
    pub fn new(design: &Design) -> Self {
        Self {
            warmup: design.warmup,
            next_block: 0,
            next_sequence: 0,
            sent: HashMap::new(),
        }
    }

    /// Numbers the blocks of a turn, which run at once.
    pub fn number(&mut self, turn: &[Block]) -> Vec<Numbered> {
        let mut numbered = Vec::new();
        for (side, block) in (0..).zip(turn) {
            let mut block = *block;
            let (first_sequence, step) = if block.requests == u64::MAX {
                let sent = self.sent.get(&cell(turn, side)).copied().unwrap_or(0);
                block.warmup = block.warmup.max(self.warmup.saturating_sub(sent));
                // The requests of blocks that run at once take numbers in turn.
                (self.next_sequence + side as u64, turn.len() as u64)
            } else {
                let first = self.next_sequence;
                self.next_sequence += block.requests;
                (first, 1)
            };
            numbered.push(Numbered {
                number: self.next_block,
                first_sequence,
                step,
                block,
            });
            self.next_block += 1;
        }
        numbered
    }

    /// Notes how many requests the blocks of a turn had.
    pub fn note(&mut self, turn: &[Block], requests: &[u64]) {
        for (side, requests) in (0..).zip(requests) {
            *self.sent.entry(cell(turn, side)).or_insert(0) += requests;
        }
        if turn.iter().any(|block| block.requests == u64::MAX) {
            let most = requests.iter().max().copied().unwrap_or(0);
            self.next_sequence += most * turn.len() as u64;
        }
    }
}

fn cell(turn: &[Block], side: usize) -> Cell {
    let beside = turn.iter().enumerate().find(|(other, _)| *other != side);
    let Block { arm, observed, .. } = turn[side];
    (arm, beside.map(|(_, block)| block.arm), observed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use runlog::Order;

    fn design(order: Order, requests: Option<u64>) -> Design {
        Design {
            arms: 2,
            observe: false,
            requests,
            time_ns: Some(4_000),
            blocks: 2,
            servers: 1,
            warmup: 25,
            block_warmup: 5,
            order,
            seed: 1,
        }
    }

    #[test]
    fn blocks_of_known_size_have_consecutive_numbers() {
        let design = design(Order::Duet, Some(41));
        let mut numbering = Numbering::new(&design);
        let mut firsts = Vec::new();
        for turn in design.blocks().chunks(2) {
            let numbered = numbering.number(turn);
            firsts.extend(
                numbered
                    .iter()
                    .map(|n| (n.number, n.first_sequence, n.step)),
            );
            numbering.note(turn, &[21, 10]);
        }
        assert_eq!(firsts, [(0, 0, 1), (1, 21, 1), (2, 42, 1), (3, 62, 1)]);
    }

    #[test]
    fn blocks_of_unknown_size_go_on_behind_what_was_sent() {
        let design = design(Order::Sequential, None);
        let mut numbering = Numbering::new(&design);
        let mut seen = Vec::new();
        for (turn, sent) in design.blocks().chunks(1).zip([10, 100, 7, 7]) {
            let numbered = numbering.number(turn)[0];
            seen.push((numbered.first_sequence, numbered.block.warmup));
            assert_eq!(numbered.block.time_ns, Some(2_000));
            numbering.note(turn, &[sent]);
        }
        assert_eq!(seen, [(0, 25), (10, 15), (110, 25), (117, 18)]);
    }

    #[test]
    fn blocks_at_once_of_unknown_size_share_no_number() {
        let design = design(Order::Duet, None);
        let mut numbering = Numbering::new(&design);
        let mut seen = Vec::new();
        for turn in design.blocks().chunks(2) {
            let numbered = numbering.number(turn);
            let sent = [3, 40];
            for (
                Numbered {
                    first_sequence,
                    step,
                    ..
                },
                sent,
            ) in numbered.iter().zip(sent)
            {
                seen.extend((0..sent).map(|index| first_sequence + step * index));
            }
            numbering.note(turn, &sent);
        }
        let count = seen.len();
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), count);
    }
}

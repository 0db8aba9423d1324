//! Numbers for blocks and requests, and the warm-up of blocks that last for a time: how many requests come
//! before and in them is known only when they have ended.

use std::collections::HashMap;

use runlog::Order;

use crate::client::Numbered;
use crate::plan::{Block, Design};

/// An arm, the arm beside it if there is one, the state of the probes, and in a trial, where each server is warmed up, the server.
type Cell = (u16, Option<u16>, bool, Option<usize>);

/// Gives out the numbers.
#[derive(Debug)]
pub struct Numbering {
    warmup: u64,
    is_trial: bool,
    next_block: u32,
    next_sequence: u64,
    sent: HashMap<Cell, u64>,
}

impl Numbering {
    /// Nothing is numbered yet.
    pub fn new(design: &Design) -> Self {
        let is_trial = design.order == Order::Trial;
        let servers = if is_trial { design.servers.max(1) } else { 1 };
        Self {
            warmup: design.warmup.div_ceil(servers.into()),
            is_trial,
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
                let sent = self.sent.get(&self.cell(turn, side)).copied().unwrap_or(0);
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
            let cell = self.cell(turn, side);
            *self.sent.entry(cell).or_insert(0) += requests;
        }
        if turn.iter().any(|block| block.requests == u64::MAX) {
            let most = requests.iter().max().copied().unwrap_or(0);
            self.next_sequence += most * turn.len() as u64;
        }
    }

    fn cell(&self, turn: &[Block], side: usize) -> Cell {
        let beside = turn.iter().enumerate().find(|(other, _)| *other != side);
        let Block {
            arm,
            observed,
            server,
            ..
        } = turn[side];
        let beside = beside.map(|(_, block)| block.arm);
        (arm, beside, observed, self.is_trial.then_some(server))
    }
}

#[cfg(test)]
mod tests;

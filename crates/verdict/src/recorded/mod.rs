//! Arms that were recorded somewhere, and their comparison.

pub mod by_blocks;
pub mod by_requests;
pub mod compare;
pub mod read;

use std::collections::BTreeMap;
use std::path::PathBuf;

/// The response times of an arm.
#[derive(Clone, Debug)]
pub struct RecordedArm {
    /// Its name.
    pub name: String,
    /// Where it is from, for people.
    pub source: String,
    /// Its values, in the order of time and in the blocks that they were recorded in.
    pub blocks: Vec<Block>,
    /// What is known of the blocks.
    pub origin: Origin,
    /// Values that are not in `blocks`, by reason.
    pub left_out: BTreeMap<String, u64>,
    /// What a reader has to know.
    pub notes: Vec<String>,
}

/// Some response times that follow each other.
#[derive(Clone, Debug, PartialEq)]
pub struct Block {
    /// The round that it was part of; blocks of one round and one run belong together.
    pub round: u32,
    /// In nanoseconds.
    pub values_ns: Vec<f64>,
}

/// What kind of record an arm is from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// One stretch of requests, not in blocks yet.
    Csv,
    /// Blocks of a run; whether those of the same round belong together.
    Run {
        /// Its folder.
        folder: PathBuf,
        /// Whether arms alternated within rounds.
        rounds: bool,
        /// Servers that the arm's blocks took in turn; 1 where blocks are compared as they are.
        servers: u32,
    },
    /// Blocks in which the order of values is not known.
    HdrLog,
}

impl RecordedArm {
    /// How many values there are.
    pub fn count(&self) -> usize {
        self.blocks.iter().map(|block| block.values_ns.len()).sum()
    }

    /// All values, in the order of time.
    pub fn values_ns(&self) -> Vec<f64> {
        let blocks = self.blocks.iter();
        blocks
            .flat_map(|block| block.values_ns.iter().copied())
            .collect()
    }

    /// Leaves the first `count` values out.
    pub fn leave_out_first(&mut self, count: usize) {
        let mut left = count;
        for block in &mut self.blocks {
            let here = left.min(block.values_ns.len());
            block.values_ns.drain(..here);
            left -= here;
        }
        self.blocks.retain(|block| !block.values_ns.is_empty());
        let left_out = (count - left) as u64;
        if left_out > 0 {
            *self.left_out.entry("warm-up".to_owned()).or_default() += left_out;
        }
    }

    /// Takes the blocks of each server together, where there were several: a server keeps what it differs
    /// by as long as it lives, so its blocks are no repetitions of each other.
    pub fn join_blocks_of_servers(&mut self) {
        let Origin::Run { servers, .. } = self.origin else {
            return;
        };
        if servers < 2 {
            return;
        }
        let mut joined = BTreeMap::<u32, Vec<f64>>::new();
        for block in self.blocks.drain(..) {
            let server = block.round % servers;
            joined.entry(server).or_default().extend(block.values_ns);
        }
        let blocks = joined.into_iter();
        self.blocks = blocks
            .map(|(round, values_ns)| Block { round, values_ns })
            .collect();
    }

    /// Cuts one stretch into `count` blocks of nearly the same length.
    pub fn cut(&mut self, count: usize) {
        let values = self.values_ns();
        let edge = |index: usize| index * values.len() / count;
        self.blocks = (0..count)
            .zip(0..)
            .map(|(index, round)| Block {
                round,
                values_ns: values[edge(index)..edge(index + 1)].to_vec(),
            })
            .collect();
    }
}

#[cfg(test)]
mod tests;

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
mod tests {
    use super::*;

    fn arm(lengths: &[u32]) -> RecordedArm {
        let mut next = 0_u32;
        let mut block = |length: &u32| {
            let values_ns = (next..next + length).map(f64::from).collect();
            next += length;
            Block {
                round: 0,
                values_ns,
            }
        };
        RecordedArm {
            name: "arm".to_owned(),
            source: String::new(),
            blocks: lengths.iter().map(&mut block).collect(),
            origin: Origin::Csv,
            left_out: BTreeMap::new(),
            notes: Vec::new(),
        }
    }

    #[test]
    fn the_first_values_are_left_out_across_blocks_and_counted() {
        let mut arm = arm(&[3, 2, 4]);
        arm.leave_out_first(4);
        assert_eq!(arm.values_ns(), [4.0, 5.0, 6.0, 7.0, 8.0]);
        assert_eq!((arm.blocks.len(), arm.left_out["warm-up"]), (2, 4));
        arm.leave_out_first(99);
        assert_eq!((arm.count(), arm.left_out["warm-up"]), (0, 9));
    }

    #[test]
    fn the_blocks_of_a_server_are_taken_together() {
        let mut arm = arm(&[2, 2, 2, 2, 2]);
        for (block, round) in arm.blocks.iter_mut().zip(0..) {
            block.round = round;
        }
        arm.join_blocks_of_servers();
        assert_eq!(arm.blocks.len(), 5, "a CSV has no servers");
        arm.origin = Origin::Run {
            folder: PathBuf::new(),
            rounds: true,
            servers: 2,
        };
        arm.join_blocks_of_servers();
        assert_eq!(arm.blocks[0].values_ns, [0.0, 1.0, 4.0, 5.0, 8.0, 9.0]);
        assert_eq!(arm.blocks[1].values_ns, [2.0, 3.0, 6.0, 7.0]);
    }

    #[test]
    fn cutting_keeps_every_value_in_order() {
        let mut arm = arm(&[11]);
        arm.cut(4);
        let lengths: Vec<usize> = arm.blocks.iter().map(|b| b.values_ns.len()).collect();
        assert_eq!(lengths, [2, 3, 3, 3]);
        assert_eq!(arm.values_ns(), (0..11).map(f64::from).collect::<Vec<_>>());
    }
}

//! Arms that were recorded somewhere, and their comparison.

pub mod by_blocks;
pub mod by_requests;
pub mod compare;
pub mod read;
mod threshold;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::PathBuf;

use stats::Counted;

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
    /// The median of the warm-up that its run had, in nanoseconds.
    pub warm_up_median_ns: Option<f64>,
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
    pub times: Times,
}

/// Response times, in nanoseconds.
#[derive(Clone, Debug, PartialEq)]
pub enum Times {
    /// In the order of time.
    InOrder(Vec<f64>),
    /// As a histogram had them.
    Counted(Counted),
}

/// What kind of record an arm is from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// One stretch of requests, not in blocks yet.
    Csv,
    /// Blocks of a run.
    Run {
        /// Its folder.
        folder: PathBuf,
        /// How its blocks followed each other.
        order: runlog::Order,
        /// Servers that the arm's blocks took in turn; 1 where blocks are compared as they are.
        servers: u32,
    },
    /// Blocks in which the order of values is not known.
    HdrLog,
}

impl Times {
    /// How many there are.
    pub fn count(&self) -> usize {
        match self {
            Self::InOrder(times) => times.len(),
            Self::Counted(times) => times.count(),
        }
    }

    /// Without their order.
    pub fn counted(&self) -> Cow<'_, Counted> {
        match self {
            Self::InOrder(times) => Cow::Owned(Counted::of(times)),
            Self::Counted(times) => Cow::Borrowed(times),
        }
    }

    /// In the order of time, if it is known.
    pub fn in_order(&self) -> Option<&[f64]> {
        match self {
            Self::InOrder(times) => Some(times),
            Self::Counted(_) => None,
        }
    }
}

impl RecordedArm {
    /// How many values there are.
    pub fn count(&self) -> usize {
        self.blocks.iter().map(|block| block.times.count()).sum()
    }

    /// All values.
    pub fn counted(&self) -> Counted {
        counted(&self.blocks)
    }

    /// All values in the order of time, if it is known.
    pub fn in_order(&self) -> Option<Vec<f64>> {
        in_order(&self.blocks)
    }

    /// The first half of the values and the second; of the blocks, where the order of values is not known.
    pub fn halves(&self) -> [Counted; 2] {
        if let Some(times) = self.in_order() {
            let (first, second) = times.split_at(times.len() / 2);
            return [first, second].map(Counted::of);
        }
        let (first, second) = self.blocks.split_at(self.blocks.len() / 2);
        [first, second].map(counted)
    }

    /// Leaves the first `count` values out, of blocks whose order is known.
    pub fn leave_out_first(&mut self, count: usize) {
        let mut left = count;
        for block in &mut self.blocks {
            if let Times::InOrder(times) = &mut block.times {
                let here = left.min(times.len());
                times.drain(..here);
                left -= here;
            }
        }
        self.blocks.retain(|block| block.times.count() > 0);
        let left_out = (count - left) as u64;
        if left_out > 0 {
            *self.left_out.entry("warm-up".to_owned()).or_default() += left_out;
        }
    }

    /// How many servers the blocks took in turn.
    pub fn servers(&self) -> u32 {
        match self.origin {
            Origin::Run { servers, .. } => servers.max(1),
            Origin::Csv | Origin::HdrLog => 1,
        }
    }

    /// What counts as one: a block, or the blocks of a server together, where there were several. A server keeps what it differs
    /// by as long as it lives, so its blocks are no repetitions of each other.
    pub fn units(&self) -> Cow<'_, [Block]> {
        let servers = self.servers();
        if servers < 2 {
            return Cow::Borrowed(&self.blocks);
        }
        let mut joined = BTreeMap::<u32, Vec<Block>>::new();
        for block in &self.blocks {
            let of_server = joined.entry(block.round % servers).or_default();
            of_server.push(block.clone());
        }
        let joined = joined.into_iter().map(|(round, blocks)| Block {
            round,
            times: in_order(&blocks)
                .map_or_else(|| Times::Counted(counted(&blocks)), Times::InOrder),
        });
        Cow::Owned(joined.collect())
    }

    /// Cuts values whose order is known into `count` blocks of nearly the same length.
    pub fn cut(&mut self, count: usize) {
        let Some(times) = self.in_order() else {
            return;
        };
        let edge = |index: usize| index * times.len() / count;
        self.blocks = (0..count)
            .zip(0..)
            .map(|(index, round)| Block {
                round,
                times: Times::InOrder(times[edge(index)..edge(index + 1)].to_vec()),
            })
            .collect();
    }
}

/// The values of several blocks.
fn counted(blocks: &[Block]) -> Counted {
    let times: Vec<_> = blocks.iter().map(|block| block.times.counted()).collect();
    Counted::merged(times.iter().map(AsRef::as_ref))
}

/// The same in the order of time, if it is known.
fn in_order(blocks: &[Block]) -> Option<Vec<f64>> {
    let times = blocks.iter().map(|block| block.times.in_order());
    Some(times.collect::<Option<Vec<_>>>()?.concat())
}

#[cfg(test)]
mod tests;

//! Block means of response times, by arm and state of the probes.

use std::collections::BTreeMap;

use runlog::RunDirectory;
use runlog::analysis::Requests;
use runlog::groups::Groups;
use runlog::record::Request;
use stats::Trim;

/// The least share of its requests that a block must have answered to count.
const LEAST_SHARE: f64 = 0.99;

/// An arm in one state of the probes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cell {
    /// Index of the arm.
    pub arm: u16,
    /// Whether the probes were attached.
    pub observed: bool,
}

/// The block means of every cell, by round. A round is one block of each cell; a block that did not
/// come to its end, or had no request outside the warm-up, is `None`.
#[derive(Debug, Default)]
pub struct BlockMeans {
    means: BTreeMap<Cell, Vec<Option<f64>>>,
    round_of_block: BTreeMap<u32, usize>,
    /// What was sent to each arm, and what failed.
    pub requests: BTreeMap<u16, Requests>,
    /// Whether the request log was cut short.
    pub cut_short: bool,
}

impl BlockMeans {
    /// Reads the request log. `requests_per_block` tells a block that did not come to its end: its
    /// mean is not of the same requests as the others'.
    pub fn read(run: &RunDirectory, trim: Trim, requests_per_block: u64) -> runlog::Result<Self> {
        let mut result = Self::default();
        let mut groups = Groups::open(run.requests(), |request: &Request| request.block)?;
        while let Some((block, requests)) = groups.next_group()? {
            let Some(first) = requests.first() else {
                continue;
            };
            let cell = Cell {
                arm: first.arm,
                observed: first.is_observed(),
            };
            let mut times_ns: Vec<f64> = requests
                .iter()
                .filter(|request| request.is_ok() && !request.is_warmup())
                .map(|request| request.response_time_ns() as f64)
                .collect();
            count(result.requests.entry(first.arm).or_default(), &requests);
            let successes = requests.iter().filter(|request| request.is_ok()).count();
            // Failures are counted, and make the result unusable when they are many. A few of them
            // do not cost their block.
            let complete = successes as f64 >= LEAST_SHARE * requests_per_block as f64;
            let mean = if complete {
                trim.mean(&mut times_ns)
            } else {
                None
            };
            let rounds = result.means.entry(cell).or_default();
            result.round_of_block.insert(block, rounds.len());
            rounds.push(mean);
        }
        result.cut_short = groups.was_cut_short();
        Ok(result)
    }

    /// The means of a cell, by round.
    pub fn of(&self, cell: Cell) -> &[Option<f64>] {
        self.means.get(&cell).map_or(&[], Vec::as_slice)
    }

    /// The round that a block belongs to.
    pub fn round_of(&self, block: u32) -> Option<usize> {
        self.round_of_block.get(&block).copied()
    }
}

fn count(counts: &mut Requests, requests: &[Request]) {
    counts.sent += requests.len() as u64;
    for request in requests.iter().filter(|request| !request.is_ok()) {
        let kind = request.outcome_name().to_owned();
        *counts.failed.entry(kind).or_default() += 1;
    }
}

#[cfg(test)]
mod tests {
    use runlog::table::TableWriter;

    use super::*;

    #[test]
    fn blocks_become_means_by_cell_and_round() {
        let folder = tempfile::tempdir().unwrap();
        let run = RunDirectory::create(folder.path().join("run")).unwrap();
        let mut writer = TableWriter::create(run.requests()).unwrap();
        // Block 0 and 2 are of arm 0, block 1 of arm 1 observed; block 3 was cut off.
        for (block, arm, flags, times) in [
            (0_u32, 0_u16, 0_u16, &[10_u64, 20, 30][..]),
            (1, 1, Request::OBSERVED, &[7, 7, 7]),
            (2, 0, 0, &[1, 2, 3]),
            (3, 1, Request::OBSERVED, &[9]),
        ] {
            for (index, time) in times.iter().enumerate() {
                let warmup = if index == 0 { Request::WARMUP } else { 0 };
                writer
                    .push(&Request {
                        block,
                        arm,
                        flags: flags | warmup,
                        sent_ns: 1_000,
                        done_ns: 1_000 + time,
                        ..Request::default()
                    })
                    .unwrap();
            }
        }
        writer.finish().unwrap();
        let means = BlockMeans::read(&run, Trim::NONE, 3).unwrap();
        let cell = |arm, observed| means.of(Cell { arm, observed });
        assert_eq!(cell(0, false), [Some(25.0), Some(2.5)]);
        assert_eq!(cell(1, true), [Some(7.0), None]);
        assert!(cell(1, false).is_empty());
        assert_eq!((means.round_of(2), means.round_of(3)), (Some(1), Some(1)));
    }
}

//! Block means of response times, by arm and state of the probes.
//!
//! Of two blocks that ran at once, those requests count that were under way while both blocks ran: the
//! faster arm ends first, and the other then has the machine to itself.

use std::collections::BTreeMap;

use runlog::RunDirectory;
use runlog::analysis::Requests;
use runlog::groups::Groups;
use runlog::manifest::Schedule;
use runlog::record::Request;
use stats::Trim;

use crate::order::Order;

/// The least share of its requests that a block must have answered to count.
const LEAST_SHARE: f64 = 0.99;
/// The fewest requests outside the warm-up that two blocks must have had at the same time.
const LEAST_IN_COMMON: usize = 10;

/// An arm in one state of the probes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cell {
    /// Index of the arm.
    pub arm: u16,
    /// Whether the probes were attached.
    pub observed: bool,
}

/// A cell, and the arm that runs beside it in a duet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Seat {
    cell: Cell,
    beside: Option<u16>,
}

/// The block means of every cell, by round. A round is one block of each cell, in a duet one of each
/// pair; a block that did not come to its end, or had no request outside the warm-up, is `None`.
#[derive(Debug, Default)]
pub struct BlockMeans {
    means: BTreeMap<Seat, Vec<Option<f64>>>,
    round_of_block: BTreeMap<u32, (usize, Option<u16>)>,
    /// What was sent to each arm, and what failed.
    pub requests: BTreeMap<u16, Requests>,
    /// How long the blocks of each cell took, from the first request sent to the last response, in ns.
    pub load_ns: BTreeMap<Cell, u64>,
    /// Whether the request log was cut short.
    pub cut_short: bool,
}

impl BlockMeans {
    /// Reads the request log. The schedule tells a block that did not come to its end: its mean is not of
    /// the same requests as the others'.
    pub fn read(run: &RunDirectory, trim: Trim, schedule: &Schedule) -> runlog::Result<Self> {
        let is_duet = Order::of(schedule).is_duet();
        let requests_per_block =
            schedule.requests_per_cell / u64::from(schedule.blocks_per_cell.max(1));
        let mut result = Self::default();
        let mut groups = Groups::open(run.requests(), |request: &Request| request.block)?;
        let mut next = groups.next_group()?;
        while let Some((block, requests)) = next {
            next = groups.next_group()?;
            let mut turn = vec![(block, requests)];
            // An even block runs beside the one that follows it.
            if is_duet && block.is_multiple_of(2) {
                match next.take() {
                    Some(other) if other.0 == block + 1 => {
                        turn.push(other);
                        next = groups.next_group()?;
                    }
                    other => next = other,
                }
            }
            result.add_turn(&turn, trim, requests_per_block, is_duet);
        }
        result.cut_short = groups.was_cut_short();
        Ok(result)
    }

    /// Adds a block, or two that ran at once.
    fn add_turn(
        &mut self,
        turn: &[(u32, Vec<Request>)],
        trim: Trim,
        requests_per_block: u64,
        is_duet: bool,
    ) {
        let from_ns = turn
            .iter()
            .filter_map(|(_, requests)| requests.iter().map(|request| request.sent_ns).min());
        let to_ns = turn
            .iter()
            .filter_map(|(_, requests)| requests.iter().map(|request| request.done_ns).max());
        let in_common = from_ns.max().unwrap_or(0)..=to_ns.min().unwrap_or(u64::MAX);
        let complete = turn.iter().all(|(_, requests)| {
            // Failures are counted, and make the result unusable when they are many. A few of them do
            // not cost their block.
            let successes = requests.iter().filter(|request| request.is_ok()).count();
            successes as f64 >= LEAST_SHARE * requests_per_block as f64
        });
        for (index, (block, requests)) in turn.iter().enumerate() {
            let Some(first) = requests.first() else {
                continue;
            };
            count(self.requests.entry(first.arm).or_default(), requests);
            // The run was cut short between two that ran at once.
            if is_duet && turn.len() < 2 {
                continue;
            }
            let beside = turn
                .get(1 - index)
                .and_then(|(_, requests)| Some(requests.first()?.arm));
            let seat = Seat {
                cell: Cell {
                    arm: first.arm,
                    observed: first.is_observed(),
                },
                beside,
            };
            let sent_ns = requests.iter().map(|request| request.sent_ns).min();
            let done_ns = requests.iter().map(|request| request.done_ns).max();
            *self.load_ns.entry(seat.cell).or_default() +=
                done_ns.unwrap_or(0).saturating_sub(sent_ns.unwrap_or(0));
            let mut times_ns: Vec<f64> = requests
                .iter()
                .filter(|request| request.is_ok() && !request.is_warmup())
                .filter(|request| {
                    !is_duet
                        || in_common.contains(&request.sent_ns)
                            && in_common.contains(&request.done_ns)
                })
                .map(|request| request.response_time_ns() as f64)
                .collect();
            let enough = !is_duet || times_ns.len() >= LEAST_IN_COMMON;
            let mean = if complete && enough {
                trim.mean(&mut times_ns)
            } else {
                None
            };
            let rounds = self.means.entry(seat).or_default();
            self.round_of_block.insert(*block, (rounds.len(), beside));
            rounds.push(mean);
        }
    }

    /// The means of a cell, in the order of its blocks.
    pub fn of(&self, cell: Cell) -> Vec<Option<f64>> {
        let seats = self.means.iter().filter(|(seat, _)| seat.cell == cell);
        seats.flat_map(|(_, means)| means.iter().copied()).collect()
    }

    /// The means of a cell by round, for a comparison with an arm. In a duet, those of the blocks that
    /// ran beside that arm.
    pub fn against(&self, cell: Cell, other: u16) -> &[Option<f64>] {
        let seat = |beside| self.means.get(&Seat { cell, beside });
        seat(None)
            .or_else(|| seat(Some(other)))
            .map_or(&[], Vec::as_slice)
    }

    /// The round that a block belongs to, and the arm that ran beside it.
    pub fn round_of(&self, block: u32) -> Option<(usize, Option<u16>)> {
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
        let means = BlockMeans::read(&run, Trim::NONE, &schedule("rmit", 3)).unwrap();
        let cell = |arm, observed| means.of(Cell { arm, observed });
        assert_eq!(cell(0, false), [Some(25.0), Some(2.5)]);
        assert_eq!(cell(1, true), [Some(7.0), None]);
        assert!(cell(1, false).is_empty());
        let rounds = (means.round_of(2), means.round_of(3));
        assert_eq!(rounds, (Some((1, None)), Some((1, None))));
    }

    /// Twenty requests each of arm 0 and arm 1 at once, 10 ns apart; those of arm 1 take 4 ns, and it goes
    /// on for another twenty, which take 1 ns. Then a block that lost its neighbour.
    #[test]
    fn of_two_blocks_at_once_what_they_have_in_common_counts() {
        let folder = tempfile::tempdir().unwrap();
        let run = RunDirectory::create(folder.path().join("run")).unwrap();
        let mut writer = TableWriter::create(run.requests()).unwrap();
        let mut push = |block, arm, number: u64, took_ns| {
            let request = Request {
                block,
                arm,
                sent_ns: 1_000 + 10 * number,
                done_ns: 1_000 + 10 * number + took_ns,
                ..Request::default()
            };
            writer.push(&request).unwrap();
        };
        for number in 0..20 {
            push(0, 0, number, 6);
        }
        for number in 0..40 {
            push(1, 1, number, if number < 20 { 4 } else { 1 });
        }
        for number in 100..120 {
            push(2, 1, number, 4);
        }
        writer.finish().unwrap();
        let means = BlockMeans::read(&run, Trim::NONE, &schedule("duet", 20)).unwrap();
        let against = |arm, other| {
            let observed = false;
            means.against(Cell { arm, observed }, other)
        };
        assert_eq!(against(0, 1), [Some(6.0)]);
        assert_eq!(against(1, 0), [Some(4.0)]);
        assert!(against(0, 2).is_empty());
        assert_eq!(means.round_of(1), Some((0, Some(0))));
        let all = means.of(Cell {
            arm: 1,
            observed: false,
        });
        assert_eq!(
            all,
            [Some(4.0)],
            "the one that lost its neighbour is left out"
        );
        assert_eq!((means.round_of(2), means.requests[&1].sent), (None, 60));
    }

    fn schedule(order: &str, requests_per_block: u64) -> Schedule {
        Schedule {
            order: order.to_owned(),
            seed: 1,
            connections: 1,
            requests_per_cell: requests_per_block,
            blocks_per_cell: 1,
            servers_per_arm: 1,
            warmup_requests: 0,
            block_warmup_requests: 0,
        }
    }
}

//! Blocks of requests, and what the value of a block is: the one rule that every layer, comparison and plot goes by.
//!
//! Of a block those requests count that succeeded, outside of the warm-up. Of two blocks that ran at once, those count
//! that were under way while both ran: the faster arm ends first, and the other then has the machine to itself. Their
//! time is that from sending to the last byte of the response. A block has a value if it came to its end.
//!
//! In a trial a block has requests of all arms; here it counts as a block of each of them, with the same number.

use std::collections::BTreeMap;

use abi::trial::Trial;
use runlog::RunDirectory;
use runlog::analysis::Requests;
use runlog::groups::Groups;
use runlog::manifest::Schedule;
use runlog::record::Request;
use stats::counted::Split;
use stats::spread;

use crate::effect::Value;
use crate::in_situ::set;
use crate::order::Order;

/// The least share of the requests that the schedule gives a block which it must have answered to count. Failures make
/// the result unusable; a few of them do not cost their block.
const LEAST_SHARE: f64 = 0.99;
/// The least share of the longest block of its cell, outside the warm-up: a block that is mostly warm-up, or that was cut
/// off in a run without a number of requests, is not of the same requests as the others.
const LEAST_OF_LONGEST: f64 = 0.5;
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

/// What to read of blocks.
#[derive(Clone, Copy, Debug)]
pub struct Reading {
    /// Where response times are split into body and tail.
    pub threshold_ns: f64,
    /// Whether requests of the warm-up count too.
    pub with_warmup: bool,
    /// Whether the times of single requests are kept.
    pub with_times: bool,
}

/// The blocks of a run.
#[derive(Debug, Default)]
pub struct Blocks {
    /// In the order of the log.
    pub blocks: Vec<Block>,
    /// Whether the request log was cut short.
    pub cut_short: bool,
}

fn value(times_ns: &[u64], threshold_ns: f64) -> Option<Value> {
    let mut times_ns: Vec<f64> = times_ns.iter().map(|ns| *ns as f64).collect();
    Some(Value {
        split: Split::of(times_ns.iter().map(|ns| (*ns, 1)), threshold_ns)?,
        median: spread::median(&mut times_ns)?,
    })
}

/// One block.
#[derive(Clone, Debug)]
pub struct Block {
    /// Its number in the run.
    pub number: u32,
    /// Whose it is.
    pub cell: Cell,
    /// The arm that ran at once with it, in a duet.
    pub beside: Option<u16>,
    /// What was sent, and what failed.
    pub requests: Requests,
    /// From the first request sent
    pub from_ns: u64,
    /// to the last response.
    pub until_ns: u64,
    /// Successful requests of the warm-up that do not count.
    pub warmup: usize,
    /// Successful requests that do not count, as the block beside it did not run.
    pub apart: usize,
    /// Requests that count.
    pub counted: usize,
    /// Their times in ns, in the order of sending, where they were asked for.
    pub times_ns: Vec<u64>,
    /// Those of the warm-up, likewise.
    pub warmup_times_ns: Vec<u64>,
    /// What they come to; of a block that is all warm-up, all its successful requests.
    value: Option<Value>,
    is_complete: bool,
}

impl Block {
    /// Whether it came to its end. One that did not has no value: its mean is not of the same requests as the others'.
    pub fn is_complete(&self) -> bool {
        self.is_complete
    }

    /// Whether all its successful requests are warm-up: then it is in no estimate.
    pub fn is_warmup(&self) -> bool {
        self.counted == 0 && self.warmup > 0
    }

    /// Successful requests outside the warm-up, whether or not the block beside it ran.
    fn outside_warmup(&self) -> usize {
        self.counted + self.apart
    }

    /// The value of the block, for estimates.
    pub fn value(&self) -> Option<Value> {
        self.value.filter(|_| self.is_complete && !self.is_warmup())
    }

    /// What to draw: the body, of a block that is all warm-up too.
    pub fn drawn_ns(&self) -> Option<f64> {
        let value = self.value.filter(|_| self.is_complete)?;
        Some(value.body())
    }
}

impl Blocks {
    /// Reads the request log. The schedule tells a block that did not come to its end.
    pub fn read(run: &RunDirectory, schedule: &Schedule, reading: Reading) -> runlog::Result<Self> {
        let is_duet = Order::of(schedule).is_duet();
        let per_arm = schedule.requests_per_cell / u64::from(schedule.blocks_per_cell.max(1));
        let mut reader = Reader {
            reading,
            is_duet,
            least: LEAST_SHARE * (per_arm * arms_of_a_block(schedule)) as f64,
            blocks: Vec::new(),
        };
        let mut groups = Groups::open(run.requests(), |request: &Request| request.block)?;
        let mut next = groups.next_group()?;
        while let Some((block, requests)) = next {
            next = groups.next_group()?;
            let mut turn = vec![(block, requests)];
            // An even block runs beside the one that follows it.
            if is_duet
                && block.is_multiple_of(2)
                && let Some(other) = next.take_if(|other| other.0 == block + 1)
            {
                turn.push(other);
                next = groups.next_group()?;
            }
            reader.add_turn(&mut turn);
        }
        let mut blocks = reader.blocks;
        leave_out_short(&mut blocks);
        Ok(Self {
            blocks,
            cut_short: groups.was_cut_short(),
        })
    }
}

/// How many arms a block has requests of.
fn arms_of_a_block(schedule: &Schedule) -> u64 {
    let text = schedule.trial.as_deref().map(str::as_bytes);
    let trial = text.and_then(|text| Trial::parse(text).ok());
    trial.map_or(1, |trial| trial.arms().len() as u64)
}

/// Blocks that have too little of what the longest of their cell has are not complete.
fn leave_out_short(blocks: &mut [Block]) {
    let mut longest = BTreeMap::<Cell, usize>::new();
    for block in blocks.iter() {
        let longest = longest.entry(block.cell).or_default();
        *longest = block.outside_warmup().max(*longest);
    }
    for block in blocks.iter_mut().filter(|block| !block.is_warmup()) {
        let least = LEAST_OF_LONGEST * longest[&block.cell] as f64;
        block.is_complete &= block.outside_warmup() as f64 >= least;
    }
}

struct Reader {
    reading: Reading,
    is_duet: bool,
    /// The fewest requests that a complete block has answered.
    least: f64,
    blocks: Vec<Block>,
}

impl Reader {
    /// Adds a block, or two that ran at once.
    fn add_turn(&mut self, turn: &mut [(u32, Vec<Request>)]) {
        for (_, requests) in turn.iter_mut() {
            requests.sort_by_key(|request| request.sent_ns);
        }
        let spans: Vec<[u64; 2]> = turn.iter().map(|(_, requests)| span(requests)).collect();
        let from_ns = spans.iter().map(|span| span[0]).max().unwrap_or(0);
        let until_ns = spans.iter().map(|span| span[1]).min().unwrap_or(0);
        let in_common = |request: &Request| {
            !self.is_duet || request.sent_ns >= from_ns && request.done_ns <= until_ns
        };
        // A run may be cut short between two that ran at once.
        let is_whole = turn.len() == if self.is_duet { 2 } else { 1 };
        let is_answered = turn.iter().all(|(_, requests)| {
            let successes = requests.iter().filter(|request| request.is_ok()).count();
            successes as f64 >= self.least
        });
        let arms: Vec<Option<u16>> = turn
            .iter()
            .map(|(_, requests)| Some(requests.first()?.arm))
            .collect();
        for (index, (number, requests)) in turn.iter_mut().enumerate() {
            // Of several arms in a trial, each in the order of sending.
            requests.sort_by_key(|request| request.arm);
            for requests in requests.chunk_by(|one, next| one.arm == next.arm) {
                let Some(first) = requests.first() else {
                    continue;
                };
                let mut times_ns = Vec::with_capacity(requests.len());
                let mut of_warmup = Vec::new();
                let mut apart = 0;
                for request in requests.iter().filter(|request| request.is_ok()) {
                    let took_ns = request.response_time_ns();
                    if request.is_warmup() && !self.reading.with_warmup {
                        of_warmup.push(took_ns);
                    } else if in_common(request) {
                        times_ns.push(took_ns);
                    } else {
                        apart += 1;
                    }
                }
                let counted = times_ns.len();
                let is_warmup = counted == 0 && apart == 0;
                let mut block = Block {
                    number: *number,
                    cell: Cell {
                        arm: first.arm,
                        observed: first.is_observed(),
                    },
                    beside: arms.get(1 - index).copied().flatten(),
                    requests: Requests::default(),
                    from_ns: spans[index][0],
                    until_ns: spans[index][1],
                    warmup: of_warmup.len(),
                    apart,
                    counted,
                    value: None,
                    is_complete: is_whole
                        && is_answered
                        && (!self.is_duet || is_warmup || counted >= LEAST_IN_COMMON),
                    times_ns: Vec::new(),
                    warmup_times_ns: Vec::new(),
                };
                count(&mut block.requests, requests);
                let drawn = if is_warmup { &of_warmup } else { &times_ns };
                block.value = value(drawn, self.reading.threshold_ns);
                if self.reading.with_times {
                    block.times_ns = times_ns;
                    block.warmup_times_ns = of_warmup;
                }
                self.blocks.push(block);
            }
        }
    }
}

/// From the first request sent to the last response.
fn span(requests: &[Request]) -> [u64; 2] {
    let from_ns = requests.iter().map(|request| request.sent_ns).min();
    let until_ns = requests.iter().map(|request| request.done_ns).max();
    [from_ns.unwrap_or(0), until_ns.unwrap_or(u64::MAX)]
}

/// A cell, and the arm that runs beside it in a duet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Seat {
    cell: Cell,
    beside: Option<u16>,
}

/// The values of the blocks of every cell, by round. A round is one block of each cell, in a duet one of each pair; a
/// block without a value is `None`.
#[derive(Debug, Default)]
pub struct BlockMeans {
    values: BTreeMap<Seat, Vec<Option<Value>>>,
    round_of_block: BTreeMap<u32, (usize, Option<u16>)>,
    /// What was sent to each arm, and what failed.
    pub requests: BTreeMap<u16, Requests>,
    /// The bodies of each cell, in the order of its blocks, whichever arms ran beside them.
    bodies_ns: BTreeMap<Cell, Vec<Option<f64>>>,
    /// Requests of complete blocks that count, by cell.
    counted: BTreeMap<Cell, u64>,
    /// How long the blocks of each cell took, from the first request sent to the last response, in ns.
    pub load_ns: BTreeMap<Cell, u64>,
    /// Whether the request log was cut short.
    pub cut_short: bool,
}

impl BlockMeans {
    /// Reads the request log.
    pub fn read(
        run: &RunDirectory,
        threshold_ns: f64,
        schedule: &Schedule,
    ) -> runlog::Result<Self> {
        let reading = Reading {
            threshold_ns,
            with_warmup: false,
            with_times: false,
        };
        let blocks = Blocks::read(run, schedule, reading)?;
        Ok(Self::by_rounds(&blocks, Order::of(schedule)))
    }

    /// Brings blocks into rounds.
    fn by_rounds(blocks: &Blocks, order: Order) -> Self {
        let mut result = Self {
            cut_short: blocks.cut_short,
            ..Self::default()
        };
        let mut of_trial = RoundsOfTrial::default();
        for block in &blocks.blocks {
            let requests = result.requests.entry(block.cell.arm).or_default();
            requests.sent += block.requests.sent;
            for (kind, count) in &block.requests.failed {
                *requests.failed.entry(kind.clone()).or_default() += count;
            }
            // One that lost its neighbour belongs to no round.
            if order.is_duet() && block.beside.is_none() {
                continue;
            }
            *result.load_ns.entry(block.cell).or_default() +=
                block.until_ns.saturating_sub(block.from_ns);
            let seat = Seat {
                cell: block.cell,
                beside: block.beside,
            };
            let rounds = result.values.entry(seat).or_default();
            let round = if order.is_trial() {
                of_trial.round_of(block.number, block.cell.observed)
            } else {
                rounds.len()
            };
            if block.is_complete() {
                result
                    .round_of_block
                    .insert(block.number, (round, block.beside));
            }
            set(rounds, round, block.value());
            let bodies_ns = result.bodies_ns.entry(block.cell).or_default();
            let place = if order.is_trial() {
                round
            } else {
                bodies_ns.len()
            };
            set(bodies_ns, place, block.value().as_ref().map(Value::body));
            if block.value().is_some() {
                *result.counted.entry(block.cell).or_default() += block.counted as u64;
            }
        }
        result
    }

    /// The values of a cell by round, for a comparison with an arm. In a duet, those of the blocks that ran beside that arm.
    pub fn against(&self, cell: Cell, other: u16) -> &[Option<Value>] {
        let seat = |beside| self.values.get(&Seat { cell, beside });
        seat(None)
            .or_else(|| seat(Some(other)))
            .map_or(&[], Vec::as_slice)
    }

    /// How many requests of a cell are in its values.
    pub fn counted(&self, cell: Cell) -> u64 {
        self.counted.get(&cell).copied().unwrap_or(0)
    }

    /// The bodies of a cell in the order of its blocks, ns.
    pub fn bodies_ns(&self, cell: Cell) -> Vec<Option<f64>> {
        self.bodies_ns.get(&cell).cloned().unwrap_or_default()
    }

    /// The round that a complete block belongs to, and the arm that ran beside it. What is seen in another block is in
    /// no estimate, of any layer.
    pub fn round_of(&self, block: u32) -> Option<(usize, Option<u16>)> {
        self.round_of_block.get(&block).copied()
    }
}

/// The rounds of a trial: each block in turn, apart for blocks with the probes attached and detached.
#[derive(Debug, Default)]
pub struct RoundsOfTrial {
    /// Blocks of each state so far, and the number of the last.
    states: [(usize, Option<u32>); 2],
}

impl RoundsOfTrial {
    /// The round of a block. Blocks come in the order of their numbers, and may come several times in a row.
    pub fn round_of(&mut self, block: u32, observed: bool) -> usize {
        let (blocks, last) = &mut self.states[usize::from(observed)];
        *blocks += usize::from(*last != Some(block));
        *last = Some(block);
        *blocks - 1
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
mod tests;

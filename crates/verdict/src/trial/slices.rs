//! Arms by slices of time: what a hook costs everyone, as time per completed request.
//!
//! All requests of a slice have one arm, so what one of them costs those that wait behind it is in the result. A round has a
//! slice of each arm, and arms are compared within it. The beginning of each slice, the washout, counts for nothing: there, what the
//! slice before has left behind is still waiting.

use std::collections::BTreeMap;

use abi::trial::slices::{Slice, Slices};
use runlog::estimate::Unit;
use runlog::record::Request;
use runlog::trial::{Dose, Doses, SlicesResult};
use stats::moments::quantile;
use stats::slope::pace;
use stats::{Interval, Location};

use crate::estimate;
use crate::join::clock::on_server;
use crate::threshold::Beforehand;
use crate::trial::block::{ArmOfBlock, Block, Pace, Sample};
use crate::trial::calls::Calls;
use crate::trial::design::Design;
use crate::trial::effects::slope_of;
use crate::trial::figure::{Figure, Weight};

/// The washout, in 99th percentiles of the response time: what was under way when the slice began is gone by then.
const WASHOUT_P99: f64 = 5.0;
/// What is sent in so much of the end of a slice is answered in the next: a fifth of the washout, so one 99th percentile.
const END_OF_WASHOUT: u64 = 5;
/// No washout is shorter, ns; nor is it below this share of a slice where servers tell of requests: they do not see how long these
/// waited in the socket.
const LEAST_WASHOUT_NS: f64 = 1_000_000.0;
const LEAST_WASHOUT_OF_SERVERS: f64 = 0.2;
/// Fewer completions in a slice tell no pace.
pub const LEAST_COMPLETIONS: usize = 20;
/// Why there may be no effects.
pub const NO_ROUNDS: &str = "there are no two complete rounds of slices";

/// Cuts the requests of a block into slices.
#[derive(Clone, Copy, Debug)]
pub struct Cut {
    slices: Slices,
    washout_ns: u64,
    /// By how much the servers' clock, which cuts them, is ahead of that of the request log.
    server_ahead_ns: i64,
}

/// What is gathered of a round.
#[derive(Debug, Default)]
struct Round {
    samples: Vec<Sample>,
    /// When requests were completed, by arm.
    completed_ns: BTreeMap<usize, Vec<u64>>,
}

impl Cut {
    /// As the warm-up has it: without one, with the shortest washout. `None` if arms do not go by slices.
    pub fn new(
        design: &Design,
        beforehand: Option<Beforehand>,
        server_ahead_ns: i64,
    ) -> Option<Self> {
        let slices = design.slices?;
        let p99_ns = beforehand.map_or(0.0, |of| of.p99_ns);
        let least_ns = if design.is_server_log() {
            LEAST_WASHOUT_OF_SERVERS * slices.slice_ns as f64
        } else {
            LEAST_WASHOUT_NS
        };
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a time that is not negative; what is too large for 64 bits stays too large for a slice"
        )]
        let washout_ns = (WASHOUT_P99 * p99_ns).max(least_ns) as u64;
        Some(Self {
            slices,
            washout_ns,
            server_ahead_ns,
        })
    }

    /// Whether an instant is in the part of its slice that counts.
    fn counts(&self, slice: &Slice, at_ns: u64) -> bool {
        at_ns >= slice.begin_ns + self.washout_ns
    }

    /// The complete rounds of a block. `requests` are all that count, with their calls where these are recorded.
    pub fn rounds(
        &self,
        design: &Design,
        server: usize,
        requests: &[(Request, Option<Calls>)],
        threshold_ns: Option<f64>,
    ) -> Vec<Block> {
        let on_server = |ns: u64| on_server(ns, self.server_ahead_ns);
        let sent_ns = || {
            let planned_ns = requests.iter().map(|(request, _)| request.planned_ns);
            planned_ns.map(on_server)
        };
        let (Some(first_ns), Some(last_ns)) = (sent_ns().min(), sent_ns().max()) else {
            return Vec::new();
        };
        let mut rounds = BTreeMap::<u64, Round>::new();
        for (request, calls) in requests {
            let [planned_ns, done_ns] = [request.planned_ns, request.done_ns].map(on_server);
            let slice = self.slices.at(planned_ns);
            let is_answered_in_it = planned_ns + self.washout_ns / END_OF_WASHOUT < slice.end_ns;
            if self.counts(&slice, planned_ns) && is_answered_in_it {
                rounds.entry(slice.round).or_default().samples.push(Sample {
                    arm: slice.arm,
                    connection: request.connection,
                    ordinal: design.ordinal(request),
                    took_ns: request.latency_ns() as f64,
                    calls: *calls,
                });
            }
            let slice = self.slices.at(done_ns);
            if self.counts(&slice, done_ns) {
                let round = rounds.entry(slice.round).or_default();
                let of_arm = round.completed_ns.entry(slice.arm).or_default();
                of_arm.push(done_ns);
            }
        }
        rounds.retain(|round, _| {
            let [begin_ns, end_ns] = self.slices.bounds_ns(*round);
            begin_ns >= first_ns && end_ns <= last_ns
        });
        let block = |(number, round): (u64, Round)| {
            let mut block = Block::new(design, number, server, &round.samples, threshold_ns);
            for (arm, completed_ns) in round.completed_ns {
                if let Some(of) = block.arms.get_mut(arm) {
                    of.pace = self.pace(completed_ns);
                }
            }
            block
        };
        rounds.into_iter().map(block).collect()
    }

    fn pace(&self, mut completed_ns: Vec<u64>) -> Option<Pace> {
        completed_ns.sort_unstable();
        let begin_ns = self.slices.at(*completed_ns.first()?).begin_ns;
        let late_ns = begin_ns + 2 * self.washout_ns;
        let late = completed_ns.partition_point(|at_ns| *at_ns < late_ns);
        let of = |completed_ns: &[u64]| {
            let since_ns = completed_ns.iter().map(|at_ns| (at_ns - begin_ns) as f64);
            pace(since_ns).filter(|_| completed_ns.len() >= LEAST_COMPLETIONS)
        };
        Some(Pace {
            behind: self.slices.at(begin_ns - 1).arm,
            ns: of(&completed_ns)?,
            late_ns: of(&completed_ns[late..]),
        })
    }

    /// What came out, with what is known of the warm-up.
    pub fn result(
        &self,
        design: &Design,
        blocks: &[Block],
        beforehand: Option<Beforehand>,
    ) -> SlicesResult {
        let others = design.arms().filter(|(arm, _)| *arm != design.off);
        let dearest = design.spiked().last().map_or(design.on, |(arm, _)| *arm);
        let contrast = [dearest, design.off];
        let level = Figure::of(blocks, Weight::Trimmed, |block| {
            pace_ns(block.arms.get(design.off)?)
        });
        let doubled_washout = Figure::of(blocks, Weight::Trimmed, |block| {
            Some(block.less(contrast, late_ns)? - block.less(contrast, pace_ns)?)
        });
        let name = |arm: usize| design.trial.arms()[arm];
        let between = format!("{} minus off", name(dearest));
        SlicesResult {
            slice_ns: self.slices.slice_ns,
            washout_ns: self.washout_ns,
            p99_ns: beforehand.map(|of| of.p99_ns.max(longest_p99_ns(blocks))),
            rounds: blocks.len() as u64,
            per_completed: level.ns("time per completed request, off"),
            effects: others
                .filter_map(|(arm, of)| {
                    let effect = effect(blocks, [arm, design.off]).ns(&format!(
                        "difference of the time per completed request, {of} minus off"
                    ))?;
                    Some((of.to_string(), effect))
                })
                .collect(),
            responses: responses(design, blocks),
            washout_doubled: doubled_washout.ns(&format!(
                "difference of the time per completed request, {between}: with twice the washout minus with it once"
            )),
            slices_doubled: self.longer_minus_shorter(blocks, contrast).ns(&format!(
                "difference of the time per completed request, {between}: in slices twice as long minus in the others"
            )),
            carry_over: carry_over(blocks, contrast).map(|change| {
                estimate(
                    change,
                    Unit::Ns,
                    &format!(
                        "difference of the time per completed request, less the median of the arm: in slices behind one of {} minus \
                         behind one of off",
                        name(dearest)
                    ),
                    "Yuen's t on slices, trimmed means, a fifth at each end",
                )
            }),
            other_arm: other_arm(blocks),
        }
    }

    /// What arms differ by in the longer slices, less the same in the shorter ones of the same turn.
    fn longer_minus_shorter(&self, blocks: &[Block], arms: [usize; 2]) -> Figure {
        let turns = blocks.windows(2).filter_map(|pair| {
            let [first, second] = pair else { return None };
            let is_turn = first.round / 2 == second.round / 2 && first.server == second.server;
            let [one, other] = [first, second].map(|block| block.less(arms, pace_ns));
            let later_ns = other? - one?;
            let is_longer = self.slices.is_long(second.round);
            let difference_ns = if is_longer { later_ns } else { -later_ns };
            is_turn.then_some((first.server, [1.0, difference_ns]))
        });
        Figure::by_process(turns, Weight::Trimmed)
    }
}

/// Of all arms the longest 99th percentile, each in the middle one of its slices: the warm-up may be of one arm alone.
fn longest_p99_ns(blocks: &[Block]) -> f64 {
    let arms = blocks.iter().map(|block| block.arms.len()).max();
    let of_arm = |arm: usize| {
        let p99s_ns = blocks
            .iter()
            .filter_map(|block| block.arms.get(arm)?.p99_ns());
        quantile(&p99s_ns.collect::<Vec<_>>(), 0.5)
    };
    (0..arms.unwrap_or(0))
        .filter_map(of_arm)
        .fold(0.0, f64::max)
}

fn pace_ns(arm: &ArmOfBlock) -> Option<f64> {
    Some(arm.pace?.ns)
}

fn late_ns(arm: &ArmOfBlock) -> Option<f64> {
    arm.pace?.late_ns
}

/// What the time per completed request differs by.
pub fn effect(blocks: &[Block], arms: [usize; 2]) -> Figure {
    Figure::of(blocks, Weight::Trimmed, |block| block.less(arms, pace_ns))
}

/// What the arm of a slice does to the next slice, whose own arm was drawn apart: where the slice before had the first of these arms,
/// less where it had the second.
fn carry_over(blocks: &[Block], arms: [usize; 2]) -> Option<Interval> {
    let mut paces_ns = BTreeMap::<(usize, usize), Vec<(usize, f64)>>::new();
    for block in blocks {
        for (arm, pace) in block.arms.iter().enumerate() {
            if let Some(pace) = pace.pace {
                let of_arm = paces_ns.entry((block.server, arm)).or_default();
                of_arm.push((pace.behind, pace.ns));
            }
        }
    }
    let mut behind = [Vec::new(), Vec::new()];
    for paces_ns in paces_ns.values() {
        let all: Vec<f64> = paces_ns.iter().map(|(_, ns)| *ns).collect();
        let Some(usual_ns) = quantile(&all, 0.5) else {
            continue;
        };
        for (before, ns) in paces_ns {
            for (values, arm) in behind.iter_mut().zip(arms) {
                values.extend((*before == arm).then_some(ns - usual_ns));
            }
        }
    }
    let [one, other] = behind.map(|values| Location::of(&values));
    one?.minus(other?).interval()
}

/// The share of requests whose calls had another arm than the slice in which they were sent, as when a server waited in its read
/// since the slice before; `None` without records.
fn other_arm(blocks: &[Block]) -> Option<f64> {
    let arms = || blocks.iter().flat_map(|block| &block.arms);
    let same: usize = arms().map(|arm| arm.with_records).sum();
    let other: usize = arms().map(|arm| arm.of_other_arm).sum();
    (same + other > 0).then(|| other as f64 / (same + other) as f64)
}

/// What is asked of requests in the response to doses.
type Part = fn(&ArmOfBlock) -> Option<f64>;
const RESPONSES: [(&str, &str, Part); 4] = [
    ("per_completed", "time per completed request", pace_ns),
    ("mean", "mean response time", |arm| {
        let split = arm.split?;
        Some(split.body + split.tail)
    }),
    ("p50", "median response time", ArmOfBlock::median_ns),
    (
        "p99",
        "99th percentile of response times",
        ArmOfBlock::p99_ns,
    ),
];

/// Delays that were injected, and what each of them does.
fn responses(design: &Design, blocks: &[Block]) -> BTreeMap<String, Doses> {
    let waited_ns = |arm: usize| {
        let of = |block: &Block| block.less([arm, design.on], |of| of.waited_ns);
        stats::mean(&Figure::of(blocks, Weight::Trimmed, of).values)
    };
    let delays: Vec<Delay> = design
        .spiked()
        .iter()
        .map(|(arm, of)| Delay {
            arm: *arm,
            name: of.to_string(),
            asked_ns: of.delay_ns(),
            measured_ns: waited_ns(*arm),
        })
        .collect();
    if delays.is_empty() {
        return BTreeMap::new();
    }
    RESPONSES
        .into_iter()
        .map(|(name, what, part)| {
            (
                name.to_owned(),
                response(design, blocks, &delays, what, part),
            )
        })
        .collect()
}

/// An arm with a delay.
struct Delay {
    arm: usize,
    name: String,
    asked_ns: u64,
    measured_ns: Option<f64>,
}

impl Delay {
    fn ns(&self) -> f64 {
        self.measured_ns.unwrap_or(self.asked_ns as f64)
    }
}

fn response(design: &Design, blocks: &[Block], delays: &[Delay], what: &str, part: Part) -> Doses {
    let dose = |delay: &Delay| {
        let arms = [delay.arm, design.on];
        let effect = Figure::of(blocks, Weight::Trimmed, |block| block.less(arms, part));
        Some(Dose {
            arm: delay.name.clone(),
            delay_ns: delay.ns(),
            is_measured: delay.measured_ns.is_some(),
            effect: effect.ns(&format!(
                "difference of the {what}, {} minus on",
                delay.name
            ))?,
        })
    };
    let slope = Figure::of(blocks, Weight::Trimmed, |block| {
        let doses = delays
            .iter()
            .map(|delay| Some([delay.ns(), block.less([delay.arm, design.on], part)?]));
        slope_of(doses.collect::<Option<Vec<_>>>()?)
    });
    let slope = slope.estimate(
        Unit::One,
        &format!("ns of the {what} for one ns of delay, by least squares through the origin"),
    );
    Doses {
        arms: delays.iter().filter_map(dose).collect(),
        slope,
    }
}

#[cfg(test)]
mod tests;

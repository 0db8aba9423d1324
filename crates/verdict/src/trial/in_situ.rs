//! The in-situ layer by the bracket's records.

use std::collections::BTreeMap;

use runlog::analysis::InSitu;
use runlog::estimate::Unit;
use runlog::trial::{BracketInSitu, Overhead};

use crate::trial::block::{self, Block, Recorded};
use crate::trial::design::Design;
use crate::trial::effects::recorded_difference;
use crate::trial::figure::{Figure, Weight};

/// The share of a process's calls that must have been entered before their request was sent for its reads to count as
/// blocking.
const WAITING_SHARE: f64 = 0.5;

/// The layer as a trial has it, and as all runs do.
#[derive(Debug)]
pub struct Layer {
    /// As a trial has it.
    pub bracket: BracketInSitu,
    /// As all runs do.
    pub in_situ: InSitu,
}

impl Layer {
    /// The layer; the error says why there is none.
    pub fn of(design: &Design, blocks: &[Block]) -> Result<Self, &'static str> {
        let null = design
            .null
            .ok_or("there is no arm null, which the bracket's own cost is seen in")?;
        let arms = [design.on, null];
        let blocking = blocking(design, blocks);
        let overhead = |part: fn(&Recorded) -> block::Overhead, what: &str| {
            let mean = recorded_difference(blocks, arms, |of| part(of).mean_ns);
            let median = Figure::of(blocks, Weight::Alike, |block| {
                block.less(arms, |arm| Some(part(arm.recorded.as_ref()?).median_ns))
            });
            let of = format!("hook overhead of all calls of a request{what}, on minus null");
            Overhead {
                mean: mean.ns(&format!(
                    "difference of means of {of}, each clipped at the threshold, by the bracket's records"
                )),
                // What clocks step by in a difference of two instants.
                typical: median
                    .with_step(1.0)
                    .ns(&format!("difference of medians of {of}, by the bracket's records")),
            }
        };
        let whole = overhead(|of| of.whole, "");
        if whole.mean.is_none() {
            return Err("there are no records of calls in two blocks");
        }
        let of_on = |unit, estimand, part: fn(&Recorded) -> f64| {
            let figure = Figure::of(blocks, Weight::Requests, |block| {
                Some(part(&block.arms.get(design.on)?.recorded?))
            });
            figure.estimate(unit, estimand)
        };
        let waiting = blocking.values().filter(|is_blocking| **is_blocking);
        let bracket = BracketInSitu {
            // Of requests that the servers tell of, nobody knows when they were sent.
            blocking_reads: 2 * waiting.count() > blocking.len() && !design.is_server_log(),
            whole,
            after_read: overhead(|of| of.after_read, ", after the read"),
            calls_per_request: of_on(Unit::Calls, "mean of bracketed calls per request", |of| {
                of.calls
            }),
            bytes_per_call: of_on(Unit::Bytes, "mean of bytes per bracketed call", |of| {
                of.bytes / of.calls
            }),
        };
        let per_call = recorded_difference(blocks, arms, |of| of.whole.mean_ns / of.calls);
        Ok(Self {
            in_situ: InSitu {
                hook_overhead: per_call
                    .ns("mean hook overhead per call, on minus null, by the bracket's records"),
                calls_per_request: bracket.calls_per_request.clone(),
                bytes_per_call: bracket.bytes_per_call.clone(),
                ..InSitu::default()
            },
            bracket,
        })
    }

    /// Mean overhead of a request of one block that lengthens its response time, ns.
    pub fn in_response_ns(design: &Design, block: &Block) -> Option<f64> {
        block.less([design.on, design.null?], |arm| {
            Some(arm.recorded.as_ref()?.in_response.mean_ns)
        })
    }
}

/// Which servers wait for requests inside of their calls.
fn blocking(design: &Design, blocks: &[Block]) -> BTreeMap<usize, bool> {
    let mut calls = BTreeMap::<usize, [f64; 2]>::new();
    for block in blocks {
        if let Some(of) = block.arms.get(design.on).and_then(|arm| arm.recorded) {
            let all = of.calls * of.requests as f64;
            let [waiting, count] = calls.entry(block.server).or_default();
            *waiting += all * of.share_waiting;
            *count += all;
        }
    }
    let is_blocking = |[waiting, count]: [f64; 2]| waiting > WAITING_SHARE * count;
    let servers = calls.into_iter();
    servers
        .map(|(server, of)| (server, is_blocking(of)))
        .collect()
}

//! A figure of a trial and its interval: made in each process of the server, then over processes.

use std::collections::BTreeMap;

use runlog::estimate::{Estimate, Unit};
use stats::distribution::t_two_sided;
use stats::moments::quantile;
use stats::{Interval, Location, Moments};

use crate::estimate;
use crate::trial::block::Block;

/// A fifth at each end is one value of so many.
const LEAST_TO_TRIM: usize = 5;

/// How the blocks of a process are put together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weight {
    /// By their requests: a mean over requests.
    Requests,
    /// Each alike: what is no mean.
    Alike,
    /// Each alike, and a fifth at each end left out ([`Location`]): rounds of slices that somebody disturbed.
    Trimmed,
}

/// A quantity by what counts as one observation.
#[derive(Clone, Debug, PartialEq)]
pub struct Figure {
    /// By process, in the order of their numbers; where there is one alone, by block.
    pub values: Vec<f64>,
    is_one_process: bool,
    is_trimmed: bool,
    method: &'static str,
    /// Half of the narrowest interval.
    least_half_width: f64,
}

impl Figure {
    /// A figure of blocks; those without a value are left out. All figures of the same blocks have the same processes.
    pub fn of(blocks: &[Block], weight: Weight, value: impl Fn(&Block) -> Option<f64>) -> Self {
        let known = blocks.iter().filter_map(|block| {
            let requests = match weight {
                Weight::Requests => block.requests as f64,
                Weight::Alike | Weight::Trimmed => 1.0,
            };
            Some((block.server, [requests, value(block)?]))
        });
        Self::by_process(known, weight)
    }

    /// A figure of weights and values, each with the number of its process.
    pub fn by_process(known: impl Iterator<Item = (usize, [f64; 2])>, weight: Weight) -> Self {
        let mut processes = BTreeMap::<usize, Vec<[f64; 2]>>::new();
        for (server, value) in known {
            processes.entry(server).or_default().push(value);
        }
        let is_one_process = processes.len() < 2;
        let values = if is_one_process {
            let blocks = processes.into_values().flatten();
            blocks.map(|[_, value]| value).collect()
        } else {
            processes
                .into_values()
                .map(|of| match weight {
                    Weight::Trimmed => trimmed_mean(&of),
                    Weight::Requests | Weight::Alike => weighted_mean(&of),
                })
                .collect()
        };
        Self {
            values,
            is_one_process,
            is_trimmed: weight == Weight::Trimmed,
            method: match weight {
                Weight::Trimmed => {
                    "within each round of slices, trimmed mean of rounds, a fifth at each end (of fewer than five the median)"
                }
                Weight::Requests if !is_one_process => {
                    "within each block, blocks weighted by their requests"
                }
                _ => "within each block, blocks weighted alike",
            },
            least_half_width: 0.0,
        }
    }

    /// A figure of all requests of each process, whose blocks are too short for it.
    pub fn pooled(values: Vec<f64>) -> Self {
        Self {
            is_one_process: values.len() < 2,
            is_trimmed: false,
            values,
            method: "over all blocks of a process",
            least_half_width: 0.0,
        }
    }

    /// The same with an interval that is never of no width: no figure is better than the clock's step.
    pub fn with_step(self, step: f64) -> Self {
        Self {
            least_half_width: step / 2.0,
            ..self
        }
    }

    /// The mean, and how well it is known; `None` below two observations.
    pub fn location(&self) -> Option<Location> {
        if self.is_trimmed {
            return Location::of(&self.values);
        }
        Location::of_all(&self.values)
    }

    /// What one observation is.
    pub fn observation(&self) -> &'static str {
        if self.is_one_process {
            if self.is_trimmed { "rounds" } else { "blocks" }
        } else {
            "processes of the server"
        }
    }

    /// The mean and its interval; `None` below two observations.
    pub fn interval(&self) -> Option<Interval> {
        let interval = self.location()?.interval()?;
        let half_width = interval.half_width();
        Some(if half_width > 0.0 {
            interval
        } else {
            let end = |sign: f64| interval.estimate + sign * self.least_half_width;
            Interval {
                ci95: [end(-1.0), end(1.0)],
                ..interval
            }
        })
    }

    /// The same, as the run directory has it.
    pub fn estimate(&self, unit: Unit, estimand: &str) -> Option<Estimate> {
        Some(estimate(self.interval()?, unit, estimand, &self.method()))
    }

    /// In nanoseconds.
    pub fn ns(&self, estimand: &str) -> Option<Estimate> {
        self.estimate(Unit::Ns, estimand)
    }

    /// How the interval is made.
    pub fn method(&self) -> String {
        let over = match (self.is_one_process, self.is_trimmed) {
            (true, false) => "in this process: Student's t on blocks",
            (true, true) => "in this process: Yuen's t on rounds",
            (false, false) => "Student's t on processes",
            (false, true) => "Yuen's t on processes",
        };
        format!("{over}; {}", self.method)
    }

    /// The probability of a mean as far from 0, were it 0; `None` below two observations. Observations that are all alike
    /// tell nothing.
    pub fn p(&self) -> Option<f64> {
        let moments = Moments::of(&self.values)?;
        let error = moments.squared_error().sqrt();
        let t = moments.mean / error;
        Some(if error > 0.0 {
            t_two_sided(t, (moments.count - 1) as f64)
        } else {
            1.0
        })
    }
}

/// What is robust against one bad round of few, too.
fn trimmed_mean(of: &[[f64; 2]]) -> f64 {
    let values: Vec<f64> = of.iter().map(|[_, value]| *value).collect();
    let location = Location::of(&values).filter(|_| values.len() >= LEAST_TO_TRIM);
    let trimmed = location.map(|location| location.estimate);
    let median = || quantile(&values, 0.5);
    trimmed.or_else(median).unwrap_or_else(|| weighted_mean(of))
}

fn weighted_mean(of: &[[f64; 2]]) -> f64 {
    let weights: f64 = of.iter().map(|[weight, _]| weight).sum();
    of.iter().map(|[weight, value]| weight * value).sum::<f64>() / weights
}

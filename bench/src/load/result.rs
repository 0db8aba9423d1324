//! What the bench finds: the shape of its JSON.

use crate::estimate::{Estimate, Target, Verdict};
use serde::Serialize;
use stats::ratio::ratio_of_means;
use stats::{Interval, mean_interval};

use crate::load::generator::Kind;
use crate::load::plan::{FIDELITY_TARGET_NS, Placement, SPEED_TARGETS};
use crate::result::Missing;

/// Everything that one run has found.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Report {
    /// Release of the kernel.
    pub kernel: String,
    /// The CPU.
    pub cpu: String,
    /// Versions of the programs.
    pub programs: Vec<String>,
    /// Rounds that were run to their end.
    pub rounds: u32,
    /// Of each load.
    pub seconds: u32,
    /// Seed of the order.
    pub seed: u64,
    /// Whether the run was ended early.
    pub cut_short: bool,
    /// How fast generators are, by placement and connections.
    pub speed: Vec<Speed>,
    /// How true their latencies are, at one connection on one core.
    pub fidelity: Vec<Fidelity>,
    /// What was to be reached, and whether it was.
    pub targets: Vec<Target>,
    /// What could not be measured, and why.
    pub missing: Vec<Missing>,
}

/// A quantity: its value in each round, and their mean.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Figure {
    /// By round.
    pub by_round: Vec<f64>,
    /// Student's t over rounds; null with less than two.
    pub mean: Option<Estimate>,
}

impl Figure {
    /// Adds a round.
    pub fn push(&mut self, value: f64) {
        self.by_round.push(value);
        self.mean = estimate(mean_interval(&self.by_round));
    }

    /// Forgets rounds that others have not.
    pub fn keep(&mut self, rounds: usize) {
        self.by_round.truncate(rounds);
        self.mean = estimate(mean_interval(&self.by_round));
    }
}

fn estimate(interval: Option<Interval>) -> Option<Estimate> {
    interval.map(Estimate::from)
}

/// One generator under one load.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Speed {
    /// Its name.
    pub generator: String,
    /// Where it ran.
    pub placement: Placement,
    /// Connections.
    pub connections: u32,
    /// Requests per second, as it says.
    pub requests_per_second: Figure,
    /// Median latency, as it says.
    pub p50_ns: Figure,
    /// 99th percentile of latency, as it says.
    pub p99_ns: Figure,
    /// CPU time of its process, from start to end, by request.
    pub cpu_ns_per_request: Figure,
    /// Requests that failed, in all rounds.
    pub errors: u64,
    /// How many times as many requests a second ours answered in the same rounds.
    pub ours_times: Option<Estimate>,
}

impl Speed {
    /// One that is not measured yet.
    pub fn new(generator: Kind, placement: Placement, connections: u32) -> Self {
        Self {
            generator: generator.name().to_owned(),
            placement,
            connections,
            requests_per_second: Figure::default(),
            p50_ns: Figure::default(),
            p99_ns: Figure::default(),
            cpu_ns_per_request: Figure::default(),
            errors: 0,
            ours_times: None,
        }
    }

    /// Forgets rounds that were not run to their end.
    pub fn keep(&mut self, rounds: usize) {
        for figure in [
            &mut self.requests_per_second,
            &mut self.p50_ns,
            &mut self.p99_ns,
            &mut self.cpu_ns_per_request,
        ] {
            figure.keep(rounds);
        }
    }
}

/// How true one generator's latencies are.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Fidelity {
    /// Its name.
    pub generator: String,
    /// Median latency as it says, with nothing attached.
    pub said_unobserved_ns: Figure,
    /// The same with our probes attached.
    pub said_ns: Figure,
    /// Median latency at its sockets, as our probes see it at the same time.
    pub socket_ns: Figure,
    /// `said_ns` minus `socket_ns`: what it adds.
    pub error_ns: Figure,
    /// As above, of the 99th percentile.
    pub p99_error_ns: Figure,
    /// What our probes add: `said_ns` minus `said_unobserved_ns`.
    pub probe_effect_ns: Figure,
    /// Absolute error of ours minus that of this one, in the same rounds: above 0 where this one is closer.
    pub ours_further_ns: Option<Estimate>,
    /// Requests that it says were answered.
    pub requests: u64,
    /// Round trips at its sockets.
    pub round_trips: u64,
}

impl Fidelity {
    /// Forgets rounds that were not run to their end, and works out what the probes add.
    pub fn settle(&mut self, rounds: usize) {
        for figure in [
            &mut self.said_unobserved_ns,
            &mut self.said_ns,
            &mut self.socket_ns,
            &mut self.error_ns,
            &mut self.p99_error_ns,
        ] {
            figure.keep(rounds);
        }
        let pairs = self
            .said_ns
            .by_round
            .iter()
            .zip(&self.said_unobserved_ns.by_round);
        for effect in pairs.map(|(with, without)| with - without) {
            self.probe_effect_ns.push(effect);
        }
    }
}

impl Report {
    /// Works out how ours compares, and what that means for the targets.
    pub fn compare(&mut self) {
        self.compare_speed();
        self.compare_fidelity();
    }

    fn compare_speed(&mut self) {
        let ours: Vec<Speed> = self
            .speed
            .iter()
            .filter(|speed| speed.generator == Kind::Ours.name())
            .cloned()
            .collect();
        for theirs in &mut self.speed {
            let is_same = |ours: &&Speed| {
                (ours.placement, ours.connections) == (theirs.placement, theirs.connections)
            };
            let Some(ours) = ours.iter().find(is_same) else {
                continue;
            };
            let rates = [&ours.requests_per_second, &theirs.requests_per_second];
            let [ours, of_theirs] = rates.map(|figure| &figure.by_round[..]);
            if theirs.generator != Kind::Ours.name() && ours.len() == of_theirs.len() {
                theirs.ours_times = estimate(ratio_of_means(ours, of_theirs));
            }
        }
        for target in SPEED_TARGETS {
            let found = self.speed.iter().find(|theirs| {
                theirs.generator == target.peer.name()
                    && theirs.placement == Placement::One
                    && theirs.connections == target.connections
            });
            if let Some(times) = found.and_then(|theirs| theirs.ours_times) {
                self.targets.push(Target {
                    what: format!(
                        "one core, connections {}: at least {} times {}'s requests per second",
                        target.connections,
                        target.at_least,
                        target.peer.name()
                    ),
                    verdict: Verdict::at_least(times, target.at_least),
                });
            }
        }
    }

    fn compare_fidelity(&mut self) {
        let is_ours = |fidelity: &&Fidelity| fidelity.generator == Kind::Ours.name();
        let Some(ours) = self.fidelity.iter().find(is_ours).cloned() else {
            return;
        };
        if let Some(error_ns) = ours.error_ns.mean {
            let [low, high] = error_ns.ci95;
            let size_ns = if error_ns.estimate < 0.0 {
                Estimate {
                    estimate: -error_ns.estimate,
                    ci95: [-high, -low],
                }
            } else {
                error_ns
            };
            self.targets.push(Target {
                what: format!(
                    "fidelity: median error at most {} µs",
                    FIDELITY_TARGET_NS / 1e3
                ),
                verdict: Verdict::at_most(size_ns, FIDELITY_TARGET_NS),
            });
        }
        for theirs in &mut self.fidelity {
            if theirs.generator == ours.generator
                || theirs.error_ns.by_round.len() != ours.error_ns.by_round.len()
            {
                continue;
            }
            let pairs = ours.error_ns.by_round.iter().zip(&theirs.error_ns.by_round);
            let further: Vec<f64> = pairs
                .map(|(ours, other)| ours.abs() - other.abs())
                .collect();
            theirs.ours_further_ns = estimate(mean_interval(&further));
            if let Some(further_ns) = theirs.ours_further_ns {
                self.targets.push(Target {
                    what: format!("fidelity: {} is not closer", theirs.generator),
                    verdict: Verdict::at_most(further_ns, 0.0),
                });
            }
        }
    }
}

#[cfg(test)]
mod tests;

//! The rounds: in each, every generator meets every load once, in an order drawn anew, so that what drifts
//! falls on all alike.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::load::child::Gated;
use crate::load::generator::{Generator, Kind, Load, Said};
use crate::load::observed::{Observed, Observer};
use crate::load::plan::{Placement, Plan};
use crate::load::result::{Fidelity, Report, Speed};
use crate::load::server::Server;
use crate::result::Missing;
use crate::rounds::interleaved;
use anyhow::{Context as _, bail};

/// What a generator may take longer than its load: Locust takes seconds to start and to end.
const PATIENCE: Duration = Duration::from_mins(1);
/// Requests of the run that says how many requests there will be in a second.
const PILOT_REQUESTS: u64 = 5_000;

/// A thing to do in each round.
#[derive(Clone, Copy, Debug)]
enum Job {
    /// Measure the speed with this number.
    Speed(usize),
    /// Measure the latency of the fidelity with this number, with nothing attached.
    Unobserved(usize),
    /// As above, with our probes attached.
    Observed(usize),
}

/// Somebody has asked for the end.
struct Stopped;

/// What one run of a generator has brought.
struct Measured {
    said: Said,
    cpu: Duration,
    observed: Option<Observed>,
}

/// The rounds under way.
#[derive(Debug)]
pub struct Rounds<'r> {
    plan: &'r Plan,
    server: Server,
    generators: Vec<Generator>,
    stop: &'r AtomicBool,
    /// Requests that ours answers in a second.
    rates: HashMap<(u32, usize), f64>,
    report: Report,
}

impl<'r> Rounds<'r> {
    /// Rounds on a running server.
    pub fn new(
        plan: &'r Plan,
        server: Server,
        generators: Vec<Generator>,
        has_fidelity: bool,
        stop: &'r AtomicBool,
    ) -> Self {
        let mut report = Report {
            seconds: plan.seconds,
            seed: plan.seed,
            ..Report::default()
        };
        for placement in &plan.placements {
            for connections in &plan.connections {
                for generator in &generators {
                    let speed = Speed::new(generator.kind, *placement, *connections);
                    report.speed.push(speed);
                }
            }
        }
        if has_fidelity {
            report
                .fidelity
                .extend(generators.iter().map(|generator| Fidelity {
                    generator: generator.kind.name().to_owned(),
                    ..Fidelity::default()
                }));
        }
        Self {
            plan,
            server,
            generators,
            stop,
            rates: HashMap::new(),
            report,
        }
    }

    /// Runs them. A generator that fails is left out from then on, and named. When stopped, what the rounds
    /// before have found is kept.
    pub fn run(mut self) -> Report {
        let speeds = (0..self.report.speed.len()).map(Job::Speed);
        let fidelities =
            (0..self.report.fidelity.len()).flat_map(|at| [Job::Unobserved(at), Job::Observed(at)]);
        let jobs: Vec<Job> = speeds.chain(fidelities).collect();
        let Plan { rounds, seed, .. } = *self.plan;
        let ended = interleaved(rounds, seed, jobs.len(), |round, index| {
            self.report.rounds = round - 1;
            self.measure_or_name(jobs[index])
        });
        match ended {
            Ok(()) => self.report.rounds = rounds,
            Err(Stopped) => self.report.cut_short = true,
        }
        self.ended()
    }

    fn measure_or_name(&mut self, job: Job) -> Result<(), Stopped> {
        let generator = self.generator_of(job);
        let name = generator.kind.name();
        if !self.is_missing(name)
            && let Err(error) = self.measure(job, &generator)
        {
            let is_ours = generator.kind == Kind::Ours;
            let missing = Missing::failed(name, &error, is_ours);
            self.report.missing.push(missing);
        }
        if self.stop.load(Ordering::Relaxed) {
            return Err(Stopped);
        }
        Ok(())
    }

    fn ended(mut self) -> Report {
        let rounds = usize::try_from(self.report.rounds).unwrap_or(usize::MAX);
        let missing = self.report.missing.clone();
        let is_kept = |name: &str| !missing.iter().any(|missing| missing.name == name);
        self.report.speed.retain(|speed| is_kept(&speed.generator));
        self.report
            .fidelity
            .retain(|fidelity| is_kept(&fidelity.generator));
        self.report
            .speed
            .iter_mut()
            .for_each(|speed| speed.keep(rounds));
        for fidelity in &mut self.report.fidelity {
            fidelity.settle(rounds);
        }
        self.report.compare();
        self.report
    }

    fn generator_of(&self, job: Job) -> Generator {
        let count = self.generators.len();
        // Both lists have all generators in the same order, again and again.
        let (Job::Speed(at) | Job::Unobserved(at) | Job::Observed(at)) = job;
        self.generators[at % count].clone()
    }

    fn is_missing(&self, name: &str) -> bool {
        let missing = &self.report.missing;
        missing.iter().any(|missing| missing.name == name)
    }

    fn measure(&mut self, job: Job, generator: &Generator) -> anyhow::Result<()> {
        match job {
            Job::Speed(at) => {
                let Speed {
                    placement,
                    connections,
                    ..
                } = self.report.speed[at];
                let Some(Measured { said, cpu, .. }) =
                    self.load(generator, placement, connections, None)?
                else {
                    return Ok(());
                };
                let speed = &mut self.report.speed[at];
                speed.requests_per_second.push(said.requests_per_second);
                speed.p50_ns.push(said.p50_ns);
                speed.p99_ns.push(said.p99_ns);
                let cpu_ns = cpu.as_secs_f64() * 1e9;
                speed.cpu_ns_per_request.push(cpu_ns / said.requests as f64);
                speed.errors += said.errors;
            }
            Job::Unobserved(at) => {
                if let Some(measured) = self.load(generator, Placement::One, 1, Some(false))? {
                    let fidelity = &mut self.report.fidelity[at];
                    fidelity.said_unobserved_ns.push(measured.said.p50_ns);
                }
            }
            Job::Observed(at) => {
                let Some(measured) = self.load(generator, Placement::One, 1, Some(true))? else {
                    return Ok(());
                };
                let observed = measured.observed.context("was not observed")?;
                let fidelity = &mut self.report.fidelity[at];
                fidelity.said_ns.push(measured.said.p50_ns);
                fidelity.socket_ns.push(observed.p50_ns);
                fidelity
                    .error_ns
                    .push(measured.said.p50_ns - observed.p50_ns);
                fidelity
                    .p99_error_ns
                    .push(measured.said.p99_ns - observed.p99_ns);
                fidelity.requests += measured.said.requests;
                fidelity.round_trips += observed.round_trips;
            }
        }
        Ok(())
    }

    /// Runs a generator once. `fidelity` tells whether it is observed, where its latencies are held against
    /// others and must be exact. `None` when the bench was stopped meanwhile.
    fn load(
        &mut self,
        generator: &Generator,
        placement: Placement,
        connections: u32,
        fidelity: Option<bool>,
    ) -> anyhow::Result<Option<Measured>> {
        let cpu = placement.client_cpu(self.plan.cpus);
        let key = (connections, cpu);
        let requests = match self.rates.get(&key) {
            Some(rate) => as_count(rate * f64::from(self.plan.seconds)),
            None if generator.kind == Kind::Ours => {
                let pilot = PILOT_REQUESTS.max(u64::from(connections) * 100);
                match self.once(generator, cpu, connections, pilot, None)? {
                    Some(measured) => {
                        let rate = measured.said.requests_per_second;
                        as_count(rate * f64::from(self.plan.seconds))
                    }
                    None => return Ok(None),
                }
            }
            None => 0,
        };
        let measured = self.once(generator, cpu, connections, requests, fidelity)?;
        if let (Some(measured), Kind::Ours) = (&measured, generator.kind) {
            self.rates.insert(key, measured.said.requests_per_second);
        }
        Ok(measured)
    }

    fn once(
        &self,
        generator: &Generator,
        cpu: usize,
        connections: u32,
        requests: u64,
        fidelity: Option<bool>,
    ) -> anyhow::Result<Option<Measured>> {
        let folder = tempfile::tempdir()?;
        let url = self.server.url();
        let load = Load {
            url: &url,
            connections,
            seconds: self.plan.seconds,
            requests,
            folder: folder.path(),
            exactly: fidelity.is_some(),
        };
        let mut child = Gated::start(&generator.invocation(&load)?, cpu, folder.path())?;
        let probes = match fidelity {
            Some(true) => Some(Observer::start(child.pid(), self.server.port())?),
            _ => None,
        };
        child.go()?;
        let patience = Duration::from_secs(u64::from(self.plan.seconds)) + PATIENCE;
        let Some((status, cpu)) = child.wait(patience, self.stop)? else {
            return Ok(None);
        };
        let observed = probes.map(Observer::stop).transpose()?;
        if !status.success() {
            let said = std::fs::read_to_string(folder.path().join("stderr"));
            let said = said.unwrap_or_default();
            let last = said
                .trim_end()
                .lines()
                .next_back()
                .unwrap_or("said nothing");
            bail!("{last} ({status})");
        }
        Ok(Some(Measured {
            said: generator.said(&load)?,
            cpu,
            observed,
        }))
    }
}

#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "requests in some seconds are far below 2^53"
)]
fn as_count(requests: f64) -> u64 {
    requests.max(1_000.0) as u64
}

//! The run itself. The load generator stops before each block; here the probes are attached or
//! detached as the block's cell wants it, and the block is let go.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use indicatif::ProgressBar;
use rand::SeedableRng as _;
use rand::seq::SliceRandom as _;
use rand_chacha::ChaCha8Rng;
use runlog::analysis::Ledger;
use runlog::calibration::Calibration;
use runlog::clock::Clock;
use runlog::doctor::{Checkups, Finding};
use runlog::gate::Event;
use runlog::manifest::{self, Manifest, Placement};
use runlog::{Order, RunDirectory};
use stats::Trim;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

use crate::doctor;
use crate::machine::{self, monotonic_ns, unix_ns};
use crate::run::arms::{self, ArmSpec, Group, ServerSpec};
use crate::run::block_reads::BlockReadsLog;
use crate::run::bracket::{Bracket, BracketLog};
use crate::run::calibration;
use crate::run::foreign_load::ForeignLoad;
use crate::run::generator::Generator;
use crate::run::loadgen::{Load, LoadGenerator};
use crate::run::process::Process;
use crate::run::resources::Watch;
use crate::run::shared_memory::Writers;
use crate::run::span_log::SpanLog;
use crate::run::stop::Stop;
use crate::run::turn::Turn;
use probes::attach::Target;
use probes::{KernelProbe, LoadError, Options, Probes, SiteChoice, Writing};
use verdict::outcome::Outcome;

/// How often servers are looked at, and the ring buffer is emptied even if little is in it. When much
/// is, the kernel says so.
const TICK: Duration = Duration::from_millis(20);
/// How often it is looked at what servers have open. The look costs time, which the servers may miss.
const LOOK: Duration = Duration::from_secs(1);
/// How long servers get to close the connections of a block that has ended.
const SETTLE: Duration = Duration::from_millis(2);

/// An experiment.
#[derive(Debug)]
pub struct Experiment {
    /// The arms, in the order of their numbers.
    pub arms: Vec<ArmSpec>,
    /// What stands around the hook where arms are drawn request by request (order trial).
    pub bracket: Option<Arc<Bracket>>,
    /// How servers are started.
    pub server: ServerSpec,
    /// What the load generator does; its arms are filled in when the servers run.
    pub load: Load,
    /// Whether and how to probe.
    pub probes: Option<ProbeOptions>,
    /// Whether to give up, before the first request, when there can be no probes.
    pub needs_probes: bool,
    /// Rounds of the calibration; 0 for none.
    pub calibration_rounds: u32,
    /// Share of values left out at each end.
    pub trim: Trim,
    /// Which CPUs do what.
    pub placement: Placement,
    /// The command line, for the manifest.
    pub command: Vec<String>,
}

/// How to probe.
#[derive(Clone, Copy, Debug)]
pub struct ProbeOptions {
    /// Which kernel probe to use.
    pub kernel_probe: KernelProbe,
    /// Where in a site to attach.
    pub site: SiteChoice,
    /// Whether the kernel is to count and time the programs' runs.
    pub program_stats: bool,
    /// Size of the ring buffer.
    pub ring_bytes: u32,
}

/// Why the loop over the blocks ended.
enum End {
    Complete,
    CutShort(String),
}

impl Experiment {
    /// Runs it. Whatever happens, no child is left running and no probe attached; what was measured
    /// is in the run directory.
    pub async fn run(
        mut self,
        run: &RunDirectory,
        stop: &mut Stop,
        bar: &ProgressBar,
    ) -> anyhow::Result<Outcome> {
        bar.set_message("looking at the machine");
        let before = tokio::select! {
            before = doctor::look(doctor::SHORT) => before,
            reason = stop.requested() => anyhow::bail!("{reason} before the first request"),
        };
        machine::bind_to(&self.placement.agent_cpus)?;
        bar.set_message("starting the servers");
        let mut groups = tokio::select! {
            groups = self.start_servers(run) => groups?,
            reason = stop.requested() => anyhow::bail!("{reason} before the first request"),
        };
        self.load.arms = groups
            .iter()
            .map(|group| (group.name().to_owned(), group.urls.clone()))
            .collect();

        let (probes, no_probes) = match self.load_probes(&groups) {
            Ok(probes) => (probes, None),
            Err(reason) if self.needs_probes => anyhow::bail!("no in-situ layer: {reason}"),
            Err(reason) => (None, Some(reason)),
        };
        self.load.observe = probes.is_some();
        let mut manifest = self.manifest(&groups, probes.as_ref(), before);
        if let Some(probes) = probes.as_ref().filter(|_| self.calibration_rounds > 0) {
            bar.set_message("calibrating the probes");
            manifest.calibration = tokio::select! {
                calibration = self.calibrate(run, probes, bar) => Some(calibration),
                reason = stop.requested() => anyhow::bail!("{reason} before the first request"),
            };
        }
        let steal_before = machine::steal_ms();
        runlog::json::write(&run.manifest(), &manifest)?;
        // One that came while the probes were loaded has not been looked at yet.
        if let Ok(reason) = timeout(Duration::from_millis(1), stop.requested()).await {
            anyhow::bail!("{reason} before the first request");
        }
        let generator = self.start_generator(run)?;
        let log = probes.as_ref().map(|_| SpanLog::create(run)).transpose()?;
        let block_reads = probes
            .as_ref()
            .map(|_| BlockReadsLog::create(run, self.trim));
        let memories = groups
            .iter_mut()
            .flat_map(|group| std::mem::take(&mut group.memories))
            .collect();
        let bracket_log = self
            .bracket
            .as_ref()
            .map(|bracket| BracketLog::create(run, memories, &bracket.trial))
            .transpose()?;
        let servers = groups.iter().flat_map(|group| &group.servers);
        let servers = servers.map(|server| server.pid).collect();
        let mut session = Session {
            watch: Watch::begin(servers, generator.pid()),
            block_reads: block_reads.transpose()?,
            bracket_log,
            groups,
            generator,
            probes,
            log,
            turn: Turn::default(),
            side_cpus: self.side_cpus(),
            in_block: false,
            blocks_done: 0,
        };
        let end = session.over_blocks(stop, bar).await;
        let blocks_done = session.blocks_done;
        manifest.resources = Some(session.watch.finish());
        // Even when the loop failed: detach, write down, end the children.
        let dead_server = session.dead_server();
        let Closed {
            ledger,
            described,
            trouble,
        } = session.close(run).await;
        let cut_short = match end {
            Ok(End::Complete) => trouble,
            Ok(End::CutShort(reason)) => Some(reason),
            // What was measured before is not lost for it. A server that has ended is why nothing could be attached to it, or
            // no request sent.
            Err(error) if blocks_done > 0 => Some(dead_server.unwrap_or(format!("{error:#}"))),
            Err(error) => return Err(dead_server.map_or(error, anyhow::Error::msg)),
        };
        if described.is_some() {
            manifest.probes = described;
        }
        manifest.ended = cut_short.clone().unwrap_or_else(|| "complete".to_owned());
        manifest.environment.steal_ms = machine::steal_ms()
            .zip(steal_before)
            .map(|(after, before)| after.saturating_sub(before));
        if let Some(checkups) = &mut manifest.doctor {
            checkups.after = doctor::look(doctor::SHORT).await;
        }
        runlog::json::write(&run.manifest(), &manifest)?;
        Ok(Outcome {
            manifest,
            cut_short,
            ledger,
            no_probes,
        })
    }

    fn start_generator(&self, run: &RunDirectory) -> anyhow::Result<Generator> {
        let Some(command) = &self.load.foreign else {
            let side_cpus = self.side_cpus();
            let ours = LoadGenerator::start(&self.load, side_cpus, run, &self.placement)?;
            return Ok(Generator::Ours(ours));
        };
        let urls = self.load.arms.first().map(|(_, urls)| urls.as_slice());
        let url = urls.and_then(|urls| urls.first());
        let url = url.context("there is no server")?;
        let foreign = ForeignLoad::new(command, url, &self.placement, run);
        Ok(Generator::Foreign(foreign))
    }

    /// In a duet, the CPU of each side.
    fn side_cpus(&self) -> Option<[usize; 2]> {
        let is_duet = self.load.schedule.order == Order::Duet;
        let cpus = self.placement.sut_cpus.as_slice().try_into().ok();
        cpus.filter(|_| is_duet)
    }

    /// The placement of what is measured by itself: in a duet, on the first side.
    pub fn placement_of_one(&self) -> Placement {
        let mut placement = self.placement.clone();
        if let Some([first, second]) = self.side_cpus() {
            placement.sut_cpus = vec![first];
            placement.loadgen_cpus = vec![first];
            if placement.agent_cpus.contains(&first) {
                placement.agent_cpus = vec![second];
            }
        }
        placement
    }

    async fn start_servers(&self, run: &RunDirectory) -> anyhow::Result<Vec<Group>> {
        let mut groups = Group::of(&self.arms, self.bracket.as_ref());
        let mut random = ChaCha8Rng::seed_from_u64(self.load.schedule.seed);
        let mut started = 0;
        for number in 0..self.load.schedule.servers_per_arm {
            // Where a program's pages come to lie may depend on who was started before.
            let mut order: Vec<&mut Group> = groups.iter_mut().collect();
            if number > 0 {
                order.shuffle(&mut random);
            }
            for group in order {
                let start = arms::start(&self.server, group, started, run, &self.placement);
                if let Err(error) = start.await {
                    let described = group.described();
                    let alone = self.with_the_hook_alone(group, started, run).await;
                    return Err(error.context(format!("the {described} does not start{alone}")));
                }
                started += 1;
            }
        }
        Ok(groups)
    }

    /// Of a server that does not start with the bracket around the hook: whether it starts without, in words.
    async fn with_the_hook_alone(&self, group: &Group, started: u16, run: &RunDirectory) -> &str {
        let Some(mut alone) = group.with_the_hook_alone() else {
            return "";
        };
        match arms::start(&self.server, &mut alone, started, run, &self.placement).await {
            Ok(()) => " (with the hook alone it does)",
            Err(_) => " (nor with the hook alone)",
        }
    }

    /// Loads the probes. The error is a reason to go on without them.
    fn load_probes(&self, groups: &[Group]) -> Result<Option<Probes>, String> {
        let Some(ProbeOptions {
            kernel_probe,
            site,
            program_stats,
            ring_bytes,
        }) = self.probes
        else {
            return Err("not asked for (--no-probes)".to_owned());
        };
        let load = || -> Result<Probes, LoadError> {
            let mut probes = Probes::load(Options {
                kernel_probe,
                site,
                program_stats,
                ring_bytes: Some(ring_bytes),
                read_records: false,
                writing: Writing::AtOnce,
                arms: u32::try_from(groups.len()).unwrap_or(u32::MAX),
                function_threads: 0,
            })?;
            for group in groups {
                let has_sites = group.servers.iter().any(|server| server.hook.is_some());
                if group.is_hooked() && !has_sites {
                    return Err(LoadError::Other(anyhow::anyhow!(
                        "the hook of the {} has no probe sites",
                        group.described()
                    )));
                }
            }
            probes.set_targets(targets(groups))?;
            // Found out now rather than in the middle of the run.
            probes.attach()?;
            probes.detach()?;
            Ok(probes)
        };
        load()
            .map(Some)
            .map_err(|error| format!("{:#}", anyhow::Error::from(error)))
    }

    /// Measures what the probes that were chosen add. If that cannot be done, the result says why.
    async fn calibrate(
        &self,
        run: &RunDirectory,
        probes: &Probes,
        bar: &ProgressBar,
    ) -> Calibration {
        let kernel_probe = probes.kernel_probe();
        let plan = calibration::Plan {
            kernel_probes: vec![kernel_probe],
            functions: calibration::Functions::No,
            hook: self.arms.iter().find_map(|arm| arm.hook.clone()),
            bracket: self.bracket.clone(),
            site: self.probes.map_or(SiteChoice::Auto, |probes| probes.site),
            rounds: self.calibration_rounds,
            trim: self.trim,
            seed: self.load.schedule.seed,
            placement: self.placement_of_one(),
            log: run.process_log("calibration"),
        };
        calibration::calibrate_or_say_why(&plan, kernel_probe.name(), bar).await
    }

    fn manifest(
        &self,
        groups: &[Group],
        probes: Option<&Probes>,
        before: Vec<Finding>,
    ) -> Manifest {
        // Each arm has a group of its own, or one serves them all.
        let arms = self.arms.iter().zip(groups.iter().cycle());
        Manifest {
            schema: manifest::SCHEMA.to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            command: self.command.clone(),
            started_unix_ns: unix_ns(),
            started_monotonic_ns: monotonic_ns(),
            clock: Clock::of_this_process(),
            ended: "running".to_owned(),
            environment: machine::environment(),
            placement: self.placement.clone(),
            arms: arms.map(|(arm, group)| group.describe(arm)).collect(),
            schedule: self.load.schedule.clone(),
            probes: probes.map(Probes::describe),
            resources: None,
            doctor: Some(Checkups {
                before,
                after: Vec::new(),
            }),
            calibration: None,
        }
    }
}

/// What is probed.
fn targets(groups: &[Group]) -> Vec<Target> {
    let of_group = |(arm, group): (u32, &'_ Group)| {
        let target = |server: &arms::Server| Target {
            pid: server.pid,
            arm,
            hook: server.hook.clone(),
            function: None,
        };
        group.servers.iter().map(target).collect::<Vec<_>>()
    };
    (0..).zip(groups).flat_map(of_group).collect()
}

/// Everything that is open while the load runs.
struct Session {
    groups: Vec<Group>,
    generator: Generator,
    probes: Option<Probes>,
    log: Option<SpanLog>,
    block_reads: Option<BlockReadsLog>,
    bracket_log: Option<BracketLog>,
    watch: Watch,
    /// The blocks that run.
    turn: Turn,
    /// In a duet, the CPU of each side.
    side_cpus: Option<[usize; 2]>,
    /// Whether the load generator is sending.
    in_block: bool,
    blocks_done: u32,
}

/// What was found when everything was closed.
struct Closed {
    ledger: Option<Ledger>,
    described: Option<manifest::Probes>,
    /// What went wrong on the way.
    trouble: Option<String>,
}

/// Waits until many records are unread; without probes, for ever.
async fn readable(probes: Option<&mut Probes>) -> anyhow::Result<()> {
    match probes {
        Some(probes) => probes.readable().await,
        None => std::future::pending().await,
    }
}

impl Session {
    async fn over_blocks(&mut self, stop: &mut Stop, bar: &ProgressBar) -> anyhow::Result<End> {
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut winding_up: Option<String> = None;
        let mut planned = [None, None];
        let mut is_observed = false;
        let mut next_look = Instant::now();
        loop {
            tokio::select! {
                event = self.generator.next_event() => match event? {
                    Some(Event::BlockPlanned { block, blocks, arm, observed, beside }) => {
                        bar.set_length(u64::from(blocks));
                        bar.set_message(self.describe_turn(arm, beside, observed));
                        if winding_up.is_none() {
                            self.take_sides(arm, beside)?;
                            self.prepare(block, beside, observed)?;
                            planned = [Some((block, arm)), beside.map(|arm| (block + 1, arm))];
                            is_observed = observed;
                            self.watch.block_begins(1 + u32::from(beside.is_some()));
                            self.generator.go().await?;
                            self.in_block = true;
                        }
                    }
                    Some(Event::BlockDone { block }) => {
                        let ended = std::mem::take(&mut planned);
                        self.in_block = false;
                        self.blocks_done += 1;
                        self.watch.block_ends();
                        sleep(SETTLE).await;
                        self.drain()?;
                        if let (Some(log), Some(probes), true) =
                            (&mut self.block_reads, &self.probes, is_observed)
                        {
                            for (block, arm) in ended.into_iter().flatten() {
                                log.add(probes, block, arm)?;
                            }
                        }
                        if let Some(log) = &mut self.log {
                            log.flush()?;
                        }
                        if let Some(log) = &mut self.bracket_log {
                            log.flush()?;
                        }
                        bar.set_position(u64::from(block) + 1);
                    }
                    Some(Event::RunDone { cut_short }) => {
                        return Ok(match winding_up.or(cut_short) {
                            Some(reason) => End::CutShort(reason),
                            None => End::Complete,
                        });
                    }
                    None => {
                        let end = self.generator.end().await;
                        let reason = end.unwrap_or_else(|| "load generator fell silent".to_owned());
                        anyhow::bail!("{reason}");
                    }
                },
                woken = readable(self.probes.as_mut()) => {
                    woken?;
                    self.drain()?;
                }
                _ = tick.tick() => {
                    self.drain()?;
                    if self.in_block && Instant::now() >= next_look {
                        next_look = Instant::now() + LOOK;
                        self.watch.look();
                    }
                    if winding_up.is_none() && let Some(reason) = self.dead_server() {
                        self.generator.wind_up(self.in_block);
                        winding_up = Some(reason);
                    }
                }
                reason = stop.requested() => {
                    if winding_up.is_some() {
                        anyhow::bail!("{reason} twice");
                    }
                    self.generator.wind_up(self.in_block);
                    winding_up = Some(reason.to_owned());
                }
            }
        }
    }

    fn describe_turn(&self, arm: u16, beside: Option<u16>, observed: bool) -> String {
        let name = |arm: u16| self.groups.get(usize::from(arm)).map_or("?", Group::name);
        let probes = if observed {
            "probes attached"
        } else {
            "probes detached"
        };
        match beside {
            None => format!("{}, {probes}", name(arm)),
            Some(other) => format!("{} beside {}, {probes}", name(arm), name(other)),
        }
    }

    /// In a duet, puts the servers of the two arms on their sides.
    fn take_sides(&self, arm: u16, beside: Option<u16>) -> anyhow::Result<()> {
        let (Some(cpus), Some(other)) = (self.side_cpus, beside) else {
            return Ok(());
        };
        for (arm, cpu) in [arm, other].into_iter().zip(cpus) {
            let group = self
                .groups
                .get(usize::from(arm))
                .context("the load generator named an arm that does not exist")?;
            for server in &group.servers {
                machine::bind_process_to(server.pid, &[cpu])?;
            }
        }
        Ok(())
    }

    /// Puts the probes into the state that a block wants.
    fn prepare(&mut self, block: u32, beside: Option<u16>, observed: bool) -> anyhow::Result<()> {
        if let Some(log) = &self.bracket_log {
            log.set_recording(!observed)?;
        }
        let Some(probes) = &mut self.probes else {
            return Ok(());
        };
        if observed {
            let newcomers = self.groups.iter_mut().map(Group::find_newcomers);
            if newcomers.fold(false, |any, found| any | found) {
                probes.set_targets(targets(&self.groups))?;
            }
            probes.attach()?;
        } else {
            probes.detach()?;
        }
        // What was still under way belongs to the block before.
        self.drain()?;
        if let Some(log) = &mut self.log {
            self.turn.go_on(block, beside, log)?;
        }
        Ok(())
    }

    fn drain(&mut self) -> anyhow::Result<()> {
        if let (Some(probes), Some(log)) = (&mut self.probes, &mut self.log) {
            let turn = &mut self.turn;
            probes.drain(|record| Ok(turn.push(record, log)?))?;
        }
        if let Some(log) = &mut self.bracket_log {
            log.drain(Writers::Alive)?;
        }
        Ok(())
    }

    fn dead_server(&mut self) -> Option<String> {
        let mut processes = self
            .groups
            .iter_mut()
            .flat_map(|group| &mut group.processes);
        processes.find_map(Process::has_ended)
    }

    /// Ends everything, in an order that loses nothing. Trouble on the way does not keep the rest
    /// from being closed.
    async fn close(mut self, run: &RunDirectory) -> Closed {
        let detached = match &mut self.probes {
            Some(probes) => probes.detach(),
            None => Ok(()),
        };
        let drained = self.drain();
        let finished = match self.log.take() {
            Some(mut log) => self
                .turn
                .write_later(&mut log)
                .and_then(|()| log.finish())
                .map_err(anyhow::Error::from),
            None => Ok(()),
        };
        let finished = finished.and(match self.block_reads.take() {
            Some(log) => log.finish().map(|_| ()).map_err(anyhow::Error::from),
            None => Ok(()),
        });
        self.generator.stop().await;
        for process in self.groups.into_iter().flat_map(|group| group.processes) {
            process.stop(Duration::ZERO).await;
        }
        let counted = match self.bracket_log.take() {
            Some(log) => log.finish(run),
            None => Ok(()),
        };
        let ledger = self.probes.as_ref().map(Probes::ledger).transpose();
        let trouble = [detached, drained, finished, counted]
            .into_iter()
            .filter_map(Result::err)
            .chain(
                ledger
                    .as_ref()
                    .err()
                    .map(|error| anyhow::anyhow!("{error:#}")),
            )
            .map(|error| format!("{error:#}"))
            .next();
        Closed {
            ledger: ledger.unwrap_or_default(),
            described: self.probes.as_ref().map(Probes::describe),
            trouble,
        }
    }
}

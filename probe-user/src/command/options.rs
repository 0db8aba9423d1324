//! The options that `bench` and `validate` share, and what they turn into.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use abi::trial::Trial;
use abi::trial::slices::Slices;
use anyhow::{Context as _, bail};
use clap::{Args, ValueEnum};
use cli::outln;
use indicatif::{ProgressBar, ProgressStyle};
use runlog::manifest::{Placement, Schedule, Scheduling};
use runlog::record::Request;
use runlog::table::Rows;
use runlog::{Order, RunDirectory};
use serde::Serialize;
use stats::Trim;

use crate::command::trial;
use crate::machine::{self, Policy};
use crate::run::arms::{self, ArmSpec, HookSpec, ServerSpec};
use crate::run::bracket::Bracket;
use crate::run::experiment::{Experiment, ProbeOptions};
use crate::run::identity::{give_folder_to_caller, give_to_caller};
use crate::run::loadgen::{Load, Pace};
use crate::run::programs;
use crate::run::scheduling;
use probes::ring::check_ring_bytes;
use probes::{KernelProbe, SiteChoice};

/// How the kernel schedules what is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum SchedulingChoice {
    /// `SCHED_OTHER`, as programs usually run
    Fair,
    /// `SCHED_FIFO`: real-time, ahead of all else on their CPUs
    Fifo,
    /// `SCHED_BATCH`: no program is preempted by one that wakes up
    Batch,
}

impl From<SchedulingChoice> for Scheduling {
    fn from(choice: SchedulingChoice) -> Self {
        match choice {
            SchedulingChoice::Fair => Self::Fair,
            SchedulingChoice::Fifo => Self::Fifo,
            SchedulingChoice::Batch => Self::Batch,
        }
    }
}

/// Servers of a trial, whose unit is the process, and of each arm where whole servers are compared that start at once: ours. Pairs
/// of these differ by tens of nanoseconds.
const SERVERS_OF_A_TRIAL: u32 = 8;
const SERVERS: u32 = 16;

/// Blocks of a trial, which is compared within blocks, and where whole servers are, the most of them and how long they are.
const BLOCKS_OF_A_TRIAL: u32 = 100;
const MOST_BLOCKS: u32 = 200;
const REQUESTS_OF_A_BLOCK: u64 = 250;

/// Of slices of time, a server has so many turns, if there are, and each connection so many requests of warm-up.
const TURNS_OF_A_SERVER: u32 = 3;
const WARM_UP_OF_A_CONNECTION: u64 = 20;

const MOST_CONNECTIONS: usize = 50_000;

/// Whether to probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Probing {
    /// No.
    No,
    /// If it can be done.
    IfPossible,
    /// Without it the experiment is pointless.
    Must,
}

/// How a result is printed.
#[derive(Args, Clone, Copy, Debug)]
pub struct Output {
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

impl Output {
    /// Prints a result as JSON, or for people by `table`.
    pub fn print<T: Serialize>(self, result: &T, table: impl FnOnce(&T)) -> anyhow::Result<()> {
        if self.json {
            outln!("{}", serde_json::to_string_pretty(result)?);
        } else {
            table(result);
        }
        Ok(())
    }
}

/// Options of commands that calibrate before they measure.
#[derive(Args, Clone, Copy, Debug)]
pub struct CalibrationOptions {
    /// Rounds in which what the probes add is measured beforehand; 0 leaves corrected values out
    #[arg(long, hide_short_help = true, default_value_t = 10, value_name = "N", value_parser = rounds)]
    pub calibration_rounds: u32,
}

/// An interval takes two rounds.
fn rounds(text: &str) -> Result<u32, String> {
    match text.parse() {
        Ok(1) | Err(_) => Err("expected 0, or a number from 2 on".to_owned()),
        Ok(rounds) => Ok(rounds),
    }
}

/// Options of an experiment.
#[derive(Args, Debug)]
pub struct ExperimentOptions {
    /// Requests per arm, and as many again with the probes attached
    #[arg(long, default_value_t = 50_000, value_name = "N")]
    pub requests: u64,

    /// Blocks that these requests are divided into [default: in a trial 100; else one for 250 requests, at most 200]
    ///
    /// What disturbs a block disturbs all of its requests, so many short blocks tell more than few long ones.
    #[arg(long, value_name = "B")]
    pub blocks: Option<u32>,

    /// Servers of each arm, which its blocks take in turn [default: in a trial 8; else 16, of yours 1]
    ///
    /// Two processes of one program differ, and several of each arm show by how much. By default there is at most one
    /// for each block, or two of a duet.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=64))]
    pub servers: Option<u32>,

    /// Connections at a time
    #[arg(long, default_value_t = 1, value_name = "C")]
    pub connections: usize,

    /// How arms are laid out over blocks [default: trial; of validate a-a rmit]
    #[arg(long, value_enum)]
    pub order: Option<Order>,

    /// First requests per arm that estimates leave out, as warm-up; in a trial they are divided among the servers
    #[arg(long, default_value_t = 2_000, value_name = "N")]
    pub warmup: u64,

    /// First requests of each block that count as warm-up: caches hold another arm's server
    /// [default: 50; in a trial 20]
    #[arg(long, hide_short_help = true, value_name = "N")]
    pub block_warmup: Option<u64>,

    /// Share of a block's sorted values left out at each end: in the budget, of read(2) in the kernel, and of calls in the micro
    /// layer and in calibrations
    /// [default: 0.05]
    #[arg(long, hide_short_help = true, value_name = "SHARE")]
    pub trim: Option<Trim>,

    /// Seed of the random order; drawn and recorded when not given
    #[arg(long, hide_short_help = true, value_name = "S")]
    pub seed: Option<u64>,

    /// The hook to measure [default: readhook.so beside this program]
    #[arg(long, value_name = "LIBRARY")]
    pub hook: Option<PathBuf>,

    /// A setting of the hook, as in `READHOOK_MODE=log`; repeat for more
    #[arg(long, value_name = "NAME=VALUE")]
    pub hook_env: Vec<String>,

    /// What requests ask for
    #[arg(long, default_value = "/", value_name = "PATH")]
    pub path: String,

    /// Port of the first server; the next ones follow [default: free ports]
    #[arg(long, hide_short_help = true, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    pub port: Option<u16>,

    /// CPUs for servers, load generator and agent
    ///
    /// A duet has a placement of its own, and a trial is on one core by itself.
    #[arg(long, value_enum, default_value_t = Policy::Auto)]
    pub placement: Policy,

    /// How the kernel schedules servers and load generator
    /// [default: batch, if both share their cores, and in a trial; else fair]
    #[arg(long, hide_short_help = true, value_enum)]
    pub scheduling: Option<SchedulingChoice>,

    /// What brackets read(2) in the kernel
    #[arg(long, hide_short_help = true, value_enum, default_value_t = KernelProbe::Auto)]
    pub kernel_probe: KernelProbe,

    /// Where in the hook's probe sites to attach
    #[arg(long, hide_short_help = true, value_enum, default_value_t = SiteChoice::Auto)]
    pub site: SiteChoice,

    /// Have the kernel count and time our eBPF programs, which slows them by two clock reads a run
    #[arg(long, hide_short_help = true)]
    pub program_stats: bool,

    #[command(flatten)]
    pub calibration: CalibrationOptions,

    /// Size of the ring buffer for records, a power of two
    #[arg(long, hide_short_help = true, default_value_t = 16 * 1024 * 1024, value_name = "BYTES")]
    pub ring_bytes: u32,

    /// Folder for the run, new or empty [default: runs/COMMAND-TIME]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,

    #[command(flatten)]
    pub output: Output,

    /// Test mode: number each request in a header X-Sequence
    #[arg(long, hide = true)]
    pub sequence_header: bool,

    /// The server to start instead of sut; {port} becomes its port
    ///
    /// The port is in the variable `SERVER_PORT` too.
    #[arg(last = true, value_name = "SERVER")]
    pub server: Vec<OsString>,
}

impl ExperimentOptions {
    /// How arms are laid out: in rounds of whole servers, unless the caller or the command has said otherwise.
    pub fn order(&self) -> Order {
        self.order.unwrap_or(Order::Rmit)
    }

    /// What means leave out.
    pub fn trim(&self) -> Trim {
        self.trim.unwrap_or(Trim::USUAL)
    }

    /// The hook and its settings: those of our own environment, then those of `--hook-env`.
    pub fn hook(&self) -> anyhow::Result<HookSpec> {
        hook_spec(self.hook.as_deref(), &self.hook_env)
    }

    /// Puts an experiment together, after checking everything that can be checked.
    pub fn experiment(&self, arms: Vec<ArmSpec>, probing: Probing) -> anyhow::Result<Experiment> {
        if self.order() == Order::Trial {
            bail!(
                "--order trial draws arms within servers that all have the hook; this command compares servers \
                 that differ, so take another order"
            );
        }
        self.check_blocks()?;
        let load = (self.schedule(), Pace::default());
        self.assemble(arms, None, load, probing)
    }

    /// Puts a trial of a hook together, likewise.
    pub fn trial(
        &self,
        trial: &Trial,
        hook: &HookSpec,
        probing: Probing,
    ) -> anyhow::Result<Experiment> {
        let schedule = Schedule {
            seed: trial.seed,
            trial: Some(trial.to_string()),
            ..self.schedule()
        };
        self.check_blocks()?;
        self.bracketed(trial, hook, (schedule, Pace::default()), probing)
    }

    /// Puts a trial together whose arms go by slices of time, likewise.
    pub fn slices(
        &self,
        trial: &Trial,
        hook: &HookSpec,
        pace: Pace,
        probing: Probing,
    ) -> anyhow::Result<Experiment> {
        let turns = pace.duration.map_or(0, |duration| {
            let turn_ns = Slices::of(trial).map_or(u64::MAX, |slices| slices.turn_ns());
            u32::try_from(duration.as_nanos() / u128::from(turn_ns)).unwrap_or(u32::MAX)
        });
        // Below four processes an interval over these is no better than one of the rounds of one.
        let usual = match turns / TURNS_OF_A_SERVER {
            0..4 => 1,
            servers => servers.min(SERVERS_OF_A_TRIAL),
        };
        let servers = self.servers.unwrap_or(usual);
        let blocks = self.blocks.unwrap_or(servers);
        if blocks < servers {
            bail!("--blocks {blocks}: each of the {servers} servers (--servers) needs a block");
        }
        if turns < 2 * blocks {
            bail!(
                "--slice: {turns} times all arms fit into the load (--duration), and {} must: two into each block of a server; \
                 take shorter slices, a longer --duration or fewer --servers",
                2 * blocks
            );
        }
        let schedule = Schedule {
            seed: trial.seed,
            trial: Some(trial.to_string()),
            requests_per_cell: 0,
            blocks_per_cell: blocks,
            servers_per_arm: servers,
            block_warmup_requests: self
                .block_warmup
                .unwrap_or(WARM_UP_OF_A_CONNECTION * self.connections as u64),
            ..self.schedule()
        };
        self.bracketed(trial, hook, (schedule, pace), probing)
    }

    /// Puts a trial together in which somebody else sends the requests to one server, for as long as they like.
    pub fn watched_load(&self, trial: &Trial, hook: &HookSpec) -> anyhow::Result<Experiment> {
        let schedule = Schedule {
            seed: trial.seed,
            trial: Some(trial.to_string()),
            requests_per_cell: 0,
            blocks_per_cell: 1,
            servers_per_arm: 1,
            ..self.schedule()
        };
        self.bracketed(trial, hook, (schedule, Pace::default()), Probing::No)
    }

    fn bracketed(
        &self,
        trial: &Trial,
        hook: &HookSpec,
        load: (Schedule, Pace),
        probing: Probing,
    ) -> anyhow::Result<Experiment> {
        let bracket = Arc::new(Bracket::beside_us(trial)?);
        self.assemble(trial::arms(trial, hook), Some(bracket), load, probing)
    }

    /// The seed that was given, or one of now.
    pub fn seed(&self) -> u64 {
        self.seed.unwrap_or_else(machine::unix_ns)
    }

    fn assemble(
        &self,
        arms: Vec<ArmSpec>,
        bracket: Option<Arc<Bracket>>,
        (schedule, pace): (Schedule, Pace),
        probing: Probing,
    ) -> anyhow::Result<Experiment> {
        self.check()?;
        let server = ServerSpec {
            command: if self.server.is_empty() {
                vec![programs::sut()?.into(), "--quiet".into()]
            } else {
                self.server.clone()
            },
            port: self.port,
            path: self.path.clone(),
        };
        arms::check(&server, &arms, bracket.as_ref(), schedule.servers_per_arm)?;
        Ok(Experiment {
            arms,
            bracket,
            server,
            load: Load {
                program: programs::loadgen()?,
                arms: Vec::new(),
                schedule,
                pace,
                foreign: None,
                observe: probing != Probing::No,
                sequence_header: self.sequence_header,
            },
            needs_probes: probing == Probing::Must,
            probes: (probing != Probing::No).then_some(ProbeOptions {
                kernel_probe: self.kernel_probe,
                site: self.site,
                program_stats: self.program_stats,
                ring_bytes: self.ring_bytes,
            }),
            calibration_rounds: self.calibration.calibration_rounds,
            trim: self.trim(),
            placement: self.place()?,
            command: env::args_os()
                .map(|argument| argument.to_string_lossy().into_owned())
                .collect(),
        })
    }

    fn check(&self) -> anyhow::Result<()> {
        let Self {
            connections,
            ring_bytes,
            path,
            ..
        } = self;
        if !(1..=MOST_CONNECTIONS).contains(connections) {
            bail!("--connections {connections}: must be from 1 to {MOST_CONNECTIONS}");
        }
        check_ring_bytes(*ring_bytes)?;
        if !path.starts_with('/') {
            bail!("--path {path}: must start with /");
        }
        Ok(())
    }

    /// Checks how requests are divided among blocks.
    fn check_blocks(&self) -> anyhow::Result<()> {
        let Self {
            requests,
            warmup,
            connections,
            ..
        } = self;
        let block_warmup = self.block_warmup();
        let blocks = &self.blocks();
        if *blocks < 2 || u64::from(*blocks) > *requests {
            bail!("--blocks {blocks}: must be from 2 to --requests ({requests})");
        }
        if let Some(servers) = self.servers.filter(|servers| *servers > self.units()) {
            bail!(
                "--servers {servers}: each server of an arm needs a block (in a duet, two); there are {} of them",
                self.units()
            );
        }
        if warmup >= requests {
            bail!("--warmup {warmup}: must be below --requests ({requests})");
        }
        let per_block = requests / u64::from(*blocks);
        if block_warmup >= per_block {
            bail!(
                "--block-warmup {block_warmup}: must be below the {per_block} requests of a block"
            );
        }
        if *connections as u64 > per_block {
            bail!(
                "--connections {connections}: must be from 1 to {MOST_CONNECTIONS}, and at most the {per_block} \
                 requests of a block"
            );
        }
        Ok(())
    }

    /// Blocks of each arm in each state of the probes.
    pub fn blocks(&self) -> u32 {
        let usual = || match self.order() {
            Order::Trial => BLOCKS_OF_A_TRIAL,
            Order::Rmit | Order::Sequential | Order::Duet => {
                let blocks =
                    u32::try_from(self.requests / REQUESTS_OF_A_BLOCK).unwrap_or(MOST_BLOCKS);
                // A duet takes them in twos.
                blocks.clamp(2, MOST_BLOCKS).next_multiple_of(2)
            }
        };
        self.blocks.unwrap_or_else(usual)
    }

    /// How many units of comparison there are: blocks, or two rounds of a duet.
    fn units(&self) -> u32 {
        match self.order() {
            Order::Duet => self.blocks() / 2,
            Order::Rmit | Order::Sequential | Order::Trial => self.blocks(),
        }
    }

    fn servers_per_arm(&self) -> u32 {
        let usual = match self.order() {
            Order::Trial => SERVERS_OF_A_TRIAL,
            _ if self.server.is_empty() => SERVERS,
            _ => 1,
        };
        self.servers.unwrap_or(usual.min(self.units()))
    }

    fn block_warmup(&self) -> u64 {
        let usual = if self.order() == Order::Trial { 20 } else { 50 };
        self.block_warmup.unwrap_or(usual)
    }

    /// Chooses CPUs, and how programs are scheduled there.
    fn place(&self) -> anyhow::Result<Placement> {
        let mut placement = self.choose_cpus()?;
        // On one core whether a server preempts its client when it is woken depends on the requests before.
        let share_a_core = placement.sut_cpus == placement.loadgen_cpus;
        let is_batch =
            self.order() == Order::Trial || share_a_core && !placement.sut_cpus.is_empty();
        let usual = is_batch.then_some(SchedulingChoice::Batch);
        if let Some(choice) = self.scheduling.or(usual) {
            placement.scheduling = choice.into();
        }
        if placement.scheduling == Scheduling::Fifo && !scheduling::leaves_us_a_cpu(&placement) {
            bail!(
                "--scheduling fifo: the agent would share a CPU with programs that run ahead of it; give it one \
                 of its own (--placement, taskset)"
            );
        }
        Ok(placement)
    }

    /// Chooses CPUs, as the order wants them.
    fn choose_cpus(&self) -> anyhow::Result<Placement> {
        if self.order() != Order::Duet {
            let policy = match (self.order(), self.placement) {
                (Order::Trial, Policy::Auto) => Policy::OneCore,
                (_, policy) => policy,
            };
            return machine::place(policy, self.connections);
        }
        if self.placement != Policy::Auto {
            bail!(
                "--placement does not go with --order duet, which gives each of the two arms a core that its \
                 server and its client share"
            );
        }
        if !self.blocks().is_multiple_of(2) {
            bail!(
                "--blocks {}: must be even in a duet (--order duet), as the arms change sides in every \
                 second round",
                self.blocks()
            );
        }
        machine::place_duet()
    }

    fn schedule(&self) -> Schedule {
        Schedule {
            order: self.order(),
            seed: self.seed(),
            connections: self.connections,
            requests_per_cell: self.requests,
            blocks_per_cell: self.blocks(),
            servers_per_arm: self.servers_per_arm(),
            warmup_requests: self.warmup,
            block_warmup_requests: self.block_warmup(),
            trial: None,
        }
    }

    /// Makes the folder of the run.
    pub fn open_folder(&self, command: &str) -> anyhow::Result<NewRun> {
        let root = match &self.out {
            Some(root) => root.clone(),
            None => RunDirectory::default_root(command),
        };
        NewRun::create(&root).context("cannot write to the folder of the run (--out)")
    }
}

/// A hook, ours if no path is given, and its settings: those of our own environment, then `settings`, as
/// `NAME=VALUE` of `--hook-env`.
pub fn hook_spec(path: Option<&Path>, settings: &[String]) -> anyhow::Result<HookSpec> {
    let path = match path {
        Some(path) => path.to_owned(),
        None => programs::hook()?,
    };
    let mut environment: Vec<(String, String)> = env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value)))
        .filter(|(name, _)| name.starts_with("READHOOK_"))
        .map(|(name, value)| match value.into_string() {
            Ok(value) => Ok((name, value)),
            Err(_) => bail!("{name}: its value is not UTF-8"),
        })
        .collect::<Result<_, _>>()?;
    environment.sort();
    for setting in settings {
        let (name, value) = setting
            .split_once('=')
            .with_context(|| format!("--hook-env {setting}: expected NAME=VALUE"))?;
        environment.retain(|(other, _)| other != name);
        environment.push((name.to_owned(), value.to_owned()));
    }
    Ok(HookSpec { path, environment })
}

/// The folder of a run that has just begun. When this value goes, however the run ended, the files
/// belong to the user on whose behalf we run.
#[derive(Debug)]
pub struct NewRun {
    /// The folder.
    pub directory: RunDirectory,
    /// The folders that were made for it, the innermost first.
    made: Vec<PathBuf>,
}

impl NewRun {
    /// Makes the folder, with its parents.
    pub fn create(root: &Path) -> anyhow::Result<Self> {
        let missing = root
            .ancestors()
            .take_while(|folder| !folder.as_os_str().is_empty() && !folder.exists());
        let made: Vec<PathBuf> = missing.map(Path::to_owned).collect();
        let directory = RunDirectory::create(root)?;
        for folder in &made {
            give_to_caller(folder)?;
        }
        give_to_caller(root)?;
        Ok(Self { directory, made })
    }

    /// Removes what a run that came to nothing has left, and the folders that were made for it. Does
    /// nothing once there are requests.
    pub fn discard_if_empty(&self) {
        let requests = Rows::<Request>::open(self.directory.requests());
        if requests.is_ok_and(|mut requests| requests.next().is_some()) {
            return;
        }
        self.discard();
    }

    /// Removes the files of the run, and the folders that were made for it.
    pub fn discard(&self) {
        let entries = fs::read_dir(self.directory.root());
        for entry in entries.into_iter().flatten().flatten() {
            let _ = fs::remove_file(entry.path());
        }
        for folder in &self.made {
            // Fails, as it should, if someone else has put something there.
            let _ = fs::remove_dir(folder);
        }
    }
}

impl Drop for NewRun {
    fn drop(&mut self) {
        let root = self.directory.root();
        if root.exists()
            && let Err(error) = give_folder_to_caller(root)
        {
            log::warn!("{error:#}");
        }
    }
}

/// A progress bar over blocks on stderr; hidden when that is no terminal.
pub fn progress_bar() -> ProgressBar {
    let style =
        ProgressStyle::with_template("{spinner} {bar:30} block {pos}/{len}  {msg}  {eta} left");
    let bar =
        ProgressBar::new(0).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

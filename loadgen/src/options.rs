//! The options of `loadgen run`.

use std::path::PathBuf;
use std::time::Duration;

use abi::trial::Trial;
use clap::Args;
use clap::builder::ArgPredicate;
use runlog::Order;
use runlog::load_api::NamedUrl;
use runlog::manifest::Schedule;
use runlog::summary::{Load, Model, Spacing};

use crate::agent::AgentOptions;
use crate::client::Settings;
use crate::clock::as_ns;
use crate::pace::Pacing;
use crate::plan::Design;
use crate::request::RequestOptions;
use crate::target::Arm;

/// Requests per arm where nothing else was asked for.
pub const DEFAULT_REQUESTS: u64 = 50_000;

/// How planned instants follow one another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Arrivals {
    /// At equal distances
    Constant,
    /// At exponentially distributed distances, as of many independent users
    Poisson,
}

impl From<Arrivals> for Spacing {
    fn from(arrivals: Arrivals) -> Self {
        match arrivals {
            Arrivals::Constant => Self::Constant,
            Arrivals::Poisson => Self::Exponential,
        }
    }
}

/// How think times are drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Think {
    /// Always the same
    Constant,
    /// Exponentially distributed
    Exponential,
}

impl From<Think> for Spacing {
    fn from(think: Think) -> Self {
        match think {
            Think::Constant => Self::Constant,
            Think::Exponential => Self::Exponential,
        }
    }
}

/// Options of `loadgen run`.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  loadgen run --arm a=http://127.0.0.1:8080/ --arm b=http://127.0.0.1:8081/
  loadgen run --arm a=http://[::1]:8080/ --rate 20000 --arrivals poisson
  loadgen run --order duet --side-cpus 0,1 --arm a=http://127.0.0.1:8080/ \\
              --arm b=http://127.0.0.1:8081/")]
pub struct RunArguments {
    /// An arm and where its requests go; repeat for each arm
    ///
    /// With --trial, which has arms of its own, the server that gets their requests.
    #[arg(long = "arm", value_name = "NAME=URL", required = true)]
    pub arms: Vec<Arm>,

    /// Another server of an arm; repeat for more, as many for each arm
    ///
    /// The arm's blocks take its servers in turn; with --trial, all blocks do.
    #[arg(long = "server", hide_short_help = true, value_name = "NAME=URL")]
    pub servers: Vec<Arm>,

    #[command(flatten)]
    pub request: RequestOptions,

    /// Requests per arm [default: 50000, or as many as there are in --duration]
    ///
    /// With --trial, on average.
    #[arg(long, value_name = "N")]
    pub requests: Option<u64>,

    /// Seconds of load per arm, over all its blocks; with --requests, whichever comes first
    ///
    /// With --trial, of all arms together.
    #[arg(long, value_name = "SECONDS")]
    pub duration: Option<f64>,

    /// Open loop: send this many requests per second to an arm
    ///
    /// They are sent whatever the server does. Latency counts from the planned instant.
    #[arg(long, value_name = "R")]
    pub rate: Option<f64>,

    /// Open loop: how planned instants follow one another
    #[arg(long, value_enum, default_value_t = Arrivals::Constant, requires = "rate")]
    pub arrivals: Arrivals,

    /// Open loop: a request that the load generator comes to later than this many seconds is late. With
    /// more than 1 % late requests a run is marked as no open loop
    #[arg(
        long,
        hide_short_help = true,
        default_value_t = 0.001,
        value_name = "SECONDS",
        requires = "rate"
    )]
    pub pacer_limit: f64,

    /// Closed loop: seconds from a response to the next request on its connection
    #[arg(
        long,
        hide_short_help = true,
        default_value_t = 0.0,
        value_name = "SECONDS",
        conflicts_with = "rate"
    )]
    pub think_time: f64,

    /// Closed loop: how think times are drawn; --think-time is their mean
    #[arg(long, hide_short_help = true, value_enum, default_value_t = Think::Constant, requires = "think_time")]
    pub think: Think,

    /// Connections at a time, each new for every block
    #[arg(long, default_value_t = 1, value_name = "C")]
    pub connections: usize,

    /// Requests that a connection may have under way
    #[arg(
        long,
        hide_short_help = true,
        default_value_t = 1,
        value_name = "DEPTH"
    )]
    pub pipeline: usize,

    /// Blocks per arm
    ///
    /// With --trial, each of them has requests of all arms.
    #[arg(long, default_value_t = 25, value_name = "B")]
    pub blocks: u32,

    /// Order of the blocks; with --trial it is trial
    #[arg(
        long,
        value_enum,
        default_value_t = Order::Rmit,
        default_value_if("trial", ArgPredicate::IsPresent, Order::Trial.name())
    )]
    pub order: Order,

    /// First requests of each arm that estimates leave out, as warm-up
    ///
    /// With --trial, on average.
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub warmup: u64,

    /// First requests of each block that count as warm-up
    #[arg(long, hide_short_help = true, default_value_t = 0, value_name = "N")]
    pub block_warmup: u64,

    /// The CPU of each side of a duet; without it the kernel decides
    #[arg(
        long,
        hide_short_help = true,
        value_name = "CPU,CPU",
        value_delimiter = ','
    )]
    pub side_cpus: Vec<usize>,

    /// Seed of the random order; drawn and recorded when not given
    #[arg(long, hide_short_help = true, value_name = "S")]
    pub seed: Option<u64>,

    /// Folder for the run, new or empty [default: runs/load-TIME]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,

    /// Give up on a response after this many seconds; looked at every 0.1 s
    #[arg(
        long,
        hide_short_help = true,
        default_value_t = 10.0,
        value_name = "SECONDS"
    )]
    pub timeout: f64,

    /// After the time of a block (--duration, --rate), wait this many seconds for what is under way
    #[arg(
        long,
        hide_short_help = true,
        default_value_t = 1.0,
        value_name = "SECONDS"
    )]
    pub drain: f64,

    #[command(flatten)]
    pub agent: AgentOptions,

    /// Bind the load generator to this CPU [default: the kernel decides]
    #[arg(
        long,
        hide_short_help = true,
        value_name = "CPU",
        conflicts_with = "side_cpus"
    )]
    pub cpu: Option<usize>,

    /// Ask the kernel for events again and again instead of sleeping: takes a whole CPU, and comes to
    /// planned requests and responses sooner
    #[arg(long, hide_short_help = true)]
    pub spin: bool,

    /// Print the summary as JSON
    #[arg(long, conflicts_with = "gate")]
    pub json: bool,

    /// Print a line of JSON each second while the run goes on, and one with the summary at its end
    #[arg(long, hide_short_help = true, conflicts_with_all = ["gate", "json"])]
    pub live: bool,

    /// Test mode: number each request in a header X-Sequence
    #[arg(long, hide_short_help = true)]
    pub sequence_header: bool,

    /// Give each arm as many requests and blocks again that are marked as observed, for programs
    /// that attach probes through --gate; summary, CSV and HDR log leave them out
    #[arg(long, hide_short_help = true, requires = "gate")]
    pub observe: bool,

    /// Before each block, say so as JSON on stdout and wait for the line "go" on stdin; --out exists
    /// then, and may hold files
    #[arg(
        long,
        hide_short_help = true,
        requires = "out",
        conflicts_with = "agent_url"
    )]
    pub gate: bool,
}

impl RunArguments {
    /// Requests per arm; none where the time decides alone.
    pub fn requests(&self) -> Option<u64> {
        let default = self.duration.is_none().then_some(DEFAULT_REQUESTS);
        self.requests.or(default)
    }

    /// Requests per cell of the plan: of an arm, or of all arms of a trial. None where the time decides alone.
    pub fn cell_requests(&self) -> Option<u64> {
        let requests = self.requests()?;
        Some(requests.saturating_mul(self.arms_per_cell()))
    }

    /// How many arms share a cell of the plan.
    fn arms_per_cell(&self) -> u64 {
        let trial = self.request.trial.as_ref();
        trial.map_or(1, |trial| trial.arms().len() as u64)
    }

    /// The arms that requests are counted by, and where they go: those that were given, or a trial's.
    pub fn named_arms(&self) -> Vec<NamedUrl> {
        let arm = |name, server: &Arm| NamedUrl {
            name,
            url: server.url.clone(),
        };
        let given = self.arms.iter();
        match &self.request.trial {
            Some(trial) => given
                .flat_map(|server| trial.arms().iter().map(|own| arm(own.to_string(), server)))
                .collect(),
            None => given
                .map(|server| arm(server.name.clone(), server))
                .collect(),
        }
    }

    /// The name of the server whose processes draw the arms of a trial.
    pub fn server_of_trial(&self) -> Option<&str> {
        self.request.trial.as_ref()?;
        self.arms.first().map(|server| server.name.as_str())
    }

    /// The layout of the blocks, for so many arms that have blocks of their own.
    pub fn design(&self, arms: u16, seed: u64) -> Design {
        Design {
            arms,
            observe: self.observe,
            requests: self.cell_requests(),
            time_ns: self.duration.map(seconds_ns),
            blocks: self.blocks,
            servers: servers_per_arm(self),
            warmup: self.warmup.saturating_mul(self.arms_per_cell()),
            block_warmup: self.block_warmup,
            order: self.order,
            seed,
        }
    }

    /// How the client sends.
    pub fn settings(&self, seed: u64) -> Settings {
        Settings {
            connections: self.connections,
            pipeline: self.pipeline,
            pacing: self.pacing(),
            timeout: Duration::from_secs_f64(self.timeout),
            drain: Duration::from_secs_f64(self.drain),
            spin: self.spin,
            seed,
        }
    }

    fn pacing(&self) -> Pacing {
        match self.rate {
            Some(rate_per_second) => Pacing::Open {
                rate_per_second,
                arrivals: self.arrivals.into(),
                limit_ns: seconds_ns(self.pacer_limit),
            },
            None => Pacing::Closed {
                think_ns: seconds_ns(self.think_time),
                think_spacing: self.think.into(),
            },
        }
    }

    /// What the summary says about how requests are sent.
    pub fn load(&self) -> Load {
        let is_open = self.rate.is_some();
        Load {
            model: if is_open {
                Model::OpenLoop
            } else {
                Model::ClosedLoop
            },
            rate_per_second: self.rate,
            arrivals: is_open.then(|| self.arrivals.into()),
            think_time_ns: seconds_ns(self.think_time),
            think_spacing: (self.think_time > 0.0).then(|| self.think.into()),
            pipeline: self.pipeline,
            duration_ns: self.duration.map(seconds_ns),
            drain_ns: seconds_ns(self.drain),
            timeout_ns: seconds_ns(self.timeout),
            cpu: self.cpu,
            spin: self.spin,
            batch_scheduling: self.lets_others_finish(),
        }
    }

    /// Whether arms go by slices of time.
    pub fn is_by_slices(&self) -> bool {
        let trial = self.request.trial.as_ref();
        trial.is_some_and(Trial::is_by_slices)
    }

    /// Whether a core that is shared with the server is left to the server while it has work: in a closed loop where
    /// more than one response may come at once, and in a trial by requests, where else those before would decide who
    /// preempts whom. The pacer of an open loop must not wait.
    pub fn lets_others_finish(&self) -> bool {
        let may_come_at_once = self.connections > 1 || self.pipeline > 1;
        let is_by_requests = self.request.trial.is_some() && !self.is_by_slices();
        let is_wanted = may_come_at_once || is_by_requests;
        is_wanted && self.rate.is_none() && !self.spin
    }

    /// What the summary says about the layout of the blocks.
    pub fn schedule(&self, seed: u64) -> Schedule {
        Schedule {
            order: self.order,
            seed,
            connections: self.connections,
            requests_per_cell: self.requests().unwrap_or(0),
            blocks_per_cell: self.blocks,
            servers_per_arm: servers_per_arm(self),
            warmup_requests: self.warmup,
            block_warmup_requests: self.block_warmup,
            trial: self.request.trial.as_ref().map(ToString::to_string),
        }
    }
}

fn seconds_ns(seconds: f64) -> u64 {
    as_ns(Duration::from_secs_f64(seconds))
}

/// Servers of each arm. Each has as many.
pub fn servers_per_arm(arguments: &RunArguments) -> u32 {
    let others = arguments.servers.len() / arguments.arms.len().max(1);
    u32::try_from(1 + others).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;

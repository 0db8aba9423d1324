//! The load generator as a child, and the conversation with it: see [`runlog::gate`].

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use anyhow::Context as _;
use runlog::RunDirectory;
use runlog::gate::{Event, GO};
use runlog::manifest::{Placement, Schedule};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{ChildStdin, ChildStdout};

use crate::run::process::{self, Process, Spawn};

/// How long the load generator gets to write its files.
const WRITING_PATIENCE: Duration = Duration::from_mins(1);

/// What the load generator is to do.
#[derive(Debug)]
pub struct Load {
    /// The program.
    pub program: PathBuf,
    /// Name of each arm, and the URLs of its servers; in a trial these are of all arms.
    pub arms: Vec<(String, Vec<String>)>,
    /// Layout of the requests.
    pub schedule: Schedule,
    /// How long and how fast.
    pub pace: Pace,
    /// The command that sends requests instead of the load generator.
    pub foreign: Option<String>,
    /// Whether each arm is also measured with the probes attached.
    pub observe: bool,
    /// Whether requests carry a sequence number.
    pub sequence_header: bool,
}

/// How long and how fast requests are sent.
#[derive(Clone, Copy, Debug, Default)]
pub struct Pace {
    /// How long, where not their number decides.
    pub duration: Option<Duration>,
    /// How many per second, whatever the server does (open loop); in a closed loop none.
    pub rate_per_second: Option<f64>,
}

/// The running load generator.
#[derive(Debug)]
pub struct LoadGenerator {
    process: Process,
    to: Option<ChildStdin>,
    from: Lines<BufReader<ChildStdout>>,
}

impl LoadGenerator {
    /// Starts it. It waits for a go-ahead before each block. In a duet it binds itself to a CPU on each
    /// side.
    pub fn start(
        load: &Load,
        side_cpus: Option<[usize; 2]>,
        run: &RunDirectory,
        placement: &Placement,
    ) -> anyhow::Result<Self> {
        let Schedule {
            order,
            seed,
            connections,
            requests_per_cell,
            blocks_per_cell,
            servers_per_arm: _,
            warmup_requests,
            block_warmup_requests,
            trial,
        } = &load.schedule;
        let mut command = process::command(&load.program);
        command
            .arg("run")
            .arg("--gate")
            .arg("--out")
            .arg(run.root());
        for (name, urls) in &load.arms {
            for (index, url) in urls.iter().enumerate() {
                let option = if index == 0 { "--arm" } else { "--server" };
                command.arg(option).arg(format!("{name}={url}"));
            }
        }
        for (option, value) in [
            ("--order", order.name()),
            ("--seed", &seed.to_string()),
            ("--connections", &connections.to_string()),
            ("--blocks", &blocks_per_cell.to_string()),
            ("--warmup", &warmup_requests.to_string()),
            ("--block-warmup", &block_warmup_requests.to_string()),
        ] {
            command.arg(option).arg(value);
        }
        match load.pace.duration {
            None => command.arg("--requests").arg(requests_per_cell.to_string()),
            Some(duration) => command
                .arg("--duration")
                .arg(duration.as_secs_f64().to_string()),
        };
        if let Some(rate) = load.pace.rate_per_second {
            // As of many users who know nothing of each other.
            command.arg("--rate").arg(rate.to_string());
            command.args(["--arrivals", "poisson"]);
        }
        if let Some([first, second]) = side_cpus {
            command.arg("--side-cpus").arg(format!("{first},{second}"));
        }
        if let Some(trial) = trial {
            command.arg("--trial").arg(trial);
        }
        if load.observe {
            command.arg("--observe");
        }
        if load.sequence_header {
            command.arg("--sequence-header");
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let spawn = Spawn {
            name: "load generator",
            cpus: &placement.loadgen_cpus,
            placement,
            log: run.process_log("loadgen"),
        };
        let mut process = spawn.start(command)?;
        let to = process.child().stdin.take();
        let from = process
            .child()
            .stdout
            .take()
            .context("the load generator has no output")?;
        Ok(Self {
            process,
            to,
            from: BufReader::new(from).lines(),
        })
    }

    /// Its process number; `None` when it has ended.
    pub fn pid(&self) -> Option<i32> {
        self.process.pid()
    }

    /// The next thing that it says; `None` when it has ended. Cancel-safe.
    pub async fn next_event(&mut self) -> anyhow::Result<Option<Event>> {
        let Some(line) = self.from.next_line().await? else {
            return Ok(None);
        };
        let event = serde_json::from_str(&line)
            .with_context(|| format!("the load generator said \"{line}\""))?;
        Ok(Some(event))
    }

    /// Lets the planned block begin.
    pub async fn go(&mut self) -> anyhow::Result<()> {
        let to = self
            .to
            .as_mut()
            .context("the load generator was told to stop")?;
        to.write_all(format!("{GO}\n").as_bytes())
            .await
            .context("the load generator does not listen")
    }

    /// Tells it to stop and to write down what it has. It does so soon, and says
    /// [`Event::RunDone`]. Between blocks the end of its input is enough.
    pub fn wind_up(&mut self, in_block: bool) {
        self.to = None;
        if in_block {
            self.process.signal(rustix::process::Signal::INT);
        }
    }

    /// Says how it ended, once it has said its last word.
    pub async fn end(&mut self) -> Option<String> {
        self.process.end().await
    }

    /// Waits for its end: it may still be writing its files.
    pub async fn stop(self) {
        drop(self.to);
        self.process.stop(WRITING_PATIENCE).await;
    }
}

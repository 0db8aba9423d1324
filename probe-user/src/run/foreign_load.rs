//! Somebody else's load generator, as one block of the run.

use std::process::Stdio;
use std::time::Duration;

use anyhow::Context as _;
use runlog::RunDirectory;
use runlog::file;
use runlog::gate::Event;
use runlog::manifest::Placement;
use rustix::process::Signal;

use crate::run::process::{self, Process, Spawn};

/// A command that sends requests.
#[derive(Debug)]
pub struct ForeignLoad {
    command: String,
    placement: Placement,
    run: RunDirectory,
    state: State,
}

#[derive(Debug)]
enum State {
    /// Not yet announced, or waiting for its go-ahead.
    New {
        is_announced: bool,
    },
    Running(Process),
    /// It has ended, for this reason unless all is well.
    Ended(Option<String>),
}

impl ForeignLoad {
    /// The command, in which `{url}` and `{port}` become those of the server.
    pub fn new(command: &str, url: &str, placement: &Placement, run: &RunDirectory) -> Self {
        let host = url.split('/').nth(2).unwrap_or_default();
        let behind = host.rsplit_once(':').map_or("", |(_, behind)| behind);
        let port: String = behind.chars().take_while(char::is_ascii_digit).collect();
        Self {
            command: command.replace("{url}", url).replace("{port}", &port),
            placement: placement.clone(),
            run: run.clone(),
            state: State::New {
                is_announced: false,
            },
        }
    }

    /// Its process number; `None` while it does not run.
    pub fn pid(&self) -> Option<i32> {
        match &self.state {
            State::Running(process) => process.pid(),
            State::New { .. } | State::Ended(_) => None,
        }
    }

    /// What happens next. Cancel-safe.
    pub async fn next_event(&mut self) -> anyhow::Result<Event> {
        match &mut self.state {
            State::New { is_announced } => {
                if std::mem::replace(is_announced, true) {
                    std::future::pending::<()>().await;
                }
                Ok(Event::BlockPlanned {
                    block: 0,
                    blocks: 1,
                    arm: 0,
                    observed: false,
                    beside: None,
                })
            }
            State::Running(process) => {
                let status = process
                    .child()
                    .wait()
                    .await
                    .context("cannot wait for the load")?;
                let trouble = (!status.success()).then(|| {
                    let end = process.has_ended();
                    end.unwrap_or_else(|| format!("the load ended ({status})"))
                });
                self.state = State::Ended(trouble);
                Ok(Event::BlockDone { block: 0 })
            }
            State::Ended(trouble) => Ok(Event::RunDone {
                cut_short: trouble.take(),
            }),
        }
    }

    /// Starts it.
    pub fn go(&mut self) -> anyhow::Result<()> {
        let output = self.run.root().join("load-output.txt");
        let output =
            file::create(&output).with_context(|| format!("cannot write {}", output.display()))?;
        let mut command = process::command("sh");
        command
            .arg("-c")
            .arg(&self.command)
            .stdin(Stdio::null())
            .stdout(output);
        let spawn = Spawn {
            name: "load (--load)",
            cpus: &self.placement.loadgen_cpus,
            placement: &self.placement,
            log: self.run.process_log("load"),
        };
        self.state = State::Running(spawn.start(command)?);
        Ok(())
    }

    /// Tells it to end; if it has not begun, it never will.
    pub fn wind_up(&mut self) {
        match &self.state {
            // A shell may stand between.
            State::Running(process) => process.signal_group(Signal::INT),
            State::New { .. } => self.state = State::Ended(None),
            State::Ended(_) => {}
        }
    }

    /// Sees to its end.
    pub async fn stop(self) {
        if let State::Running(process) = self.state {
            process.stop(Duration::ZERO).await;
        }
    }
}

//! Joins the reads of a server to its requests.
//!
//! The agent does so itself, by the load generator's log. A `probe-user trace` for each server, started in the agent's
//! container and beside it, keeps records that `correlate` joins: both must come to the same.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use serde_json::Value;

use crate::containers::engine::printed;
use crate::containers::experiment::Project;
use crate::interrupt;

/// Room for records in the agent's container, and the load generator's results to join them with.
pub const OVERRIDE: &str = "\
services:
  probe-user:
    tmpfs: [/runs]
    volumes: [\"${HOOKPROBE_RESULTS}:/results:ro\"]
";

/// How long it may take to attach.
const PATIENCE: Duration = Duration::from_secs(30);
const TICK: Duration = Duration::from_millis(50);

/// A trace of one server.
#[derive(Debug)]
pub struct Observer {
    /// Where it keeps the records, in the container.
    events: String,
    trace: Child,
}

impl Observer {
    /// Attaches to the server of a service. Returns when it is attached.
    pub fn attach(project: &Project<'_>, service: &str, folder: &Path) -> anyhow::Result<Self> {
        let said: PathBuf = folder.join(format!("trace-{service}.log"));
        let events = format!("/runs/trace-{service}");
        let trace = project
            .compose()
            .args(["exec", "-T", "probe-user", "probe-user", "trace", "--json"])
            .args(["--calibration-rounds", "0", "--events", &events, "--pid"])
            .arg(project.process_of(service)?)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(File::create(&said)?)
            .spawn()
            .context("cannot start the trace")?;
        let mut observer = Self { events, trace };
        let give_up = Instant::now() + PATIENCE;
        loop {
            interrupt::check()?;
            let text = fs::read_to_string(&said)?;
            if text.contains("attached to") {
                return Ok(observer);
            }
            if observer.trace.try_wait()?.is_some() || Instant::now() >= give_up {
                bail!(
                    "probe-user trace of {service} does not attach: {}",
                    text.trim()
                );
            }
            thread::sleep(TICK);
        }
    }

    /// What was seen. The server has ended, and so does the trace.
    pub fn end(self) -> anyhow::Result<Seen> {
        let ended = self.trace.wait_with_output()?;
        let text = String::from_utf8_lossy(&ended.stdout);
        let trace = serde_json::from_str(&text).with_context(|| {
            format!("probe-user trace ended ({}) and says: {text}", ended.status)
        })?;
        Ok(Seen {
            events: self.events,
            trace,
        })
    }
}

/// What was seen of a server.
#[derive(Debug)]
pub struct Seen {
    events: String,
    /// The trace, as it printed itself.
    pub trace: Value,
}

impl Seen {
    /// Joins the reads to the requests of an arm of a run.
    pub fn join(&self, project: &Project<'_>, run: &str, arm: &str) -> anyhow::Result<Value> {
        let mut correlate = project.compose();
        correlate
            .args([
                "exec",
                "-T",
                "probe-user",
                "probe-user",
                "correlate",
                "--json",
            ])
            .arg(&self.events)
            .args(["--requests", &format!("/results/{run}"), "--arm", arm]);
        Ok(serde_json::from_str(&printed(&mut correlate)?)?)
    }
}

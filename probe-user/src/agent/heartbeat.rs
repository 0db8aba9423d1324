//! What an agent leaves behind for the next one: what it observed, and until when.
//!
//! Killed, an agent says nothing. So it writes a small file again and again while it lives. The next one finds in it
//! which processes were observed, and counts as unobserved only the gap. The file is replaced whole and not flushed to
//! the disk: it is of use until the next boot at the most.
//!
//! The gap begins with the last time that was written, so it may be said longer than it was, by one `--scan-interval`
//! and the time of a look, and never shorter.

use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use runlog::agent::Predecessor;
use runlog::clock::Clock;
use runlog::json::{self, Shape, Versioned};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use probes::discover::generation::{Generation, since_boot_s};

/// Version of the file.
const SCHEMA: &str = "hookprobe/agent-state/1";

/// What the file holds. It is for agents, and no interface for others.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct State {
    schema: String,
    /// The boot, and the time namespace that `until_s` is told in.
    clock: Clock,
    /// Until when, in seconds since boot.
    until_s: f64,
    /// Processes that were observed then.
    observed: Vec<Generation>,
}

impl Versioned for State {
    const SCHEMA: Option<&'static str> = Some(SCHEMA);
}

impl Shape for State {
    fn from_value(value: Value) -> Result<Self, json::Source> {
        json::shape(value)
    }
}

/// The file of `--state-file`, and what another agent has left in it.
#[derive(Debug)]
pub struct Heartbeat {
    path: PathBuf,
    clock: Clock,
    left: Option<State>,
    predecessor: Option<Predecessor>,
    is_failing: bool,
}

impl Heartbeat {
    /// Reads what another agent has left. Nonsense is no reason not to begin: it is said, and not used. A file that
    /// cannot be written is one.
    pub fn begin(path: &Path) -> anyhow::Result<Self> {
        let clock = Clock::of_this_process().context("the kernel does not name its boot")?;
        let now_s = since_boot_s();
        let (left, predecessor) = match left_at(path, &clock, now_s) {
            Ok(left) => (left, None),
            Err(error) => {
                let reason = format!("{error:#}");
                log::warn!("what an agent before this one has left is not used: {reason}");
                let predecessor = Predecessor {
                    ignored: Some(reason),
                    ..Predecessor::default()
                };
                (None, Some(predecessor))
            }
        };
        // What is left stays until this agent observes.
        let state = left.clone().unwrap_or_else(|| State {
            schema: SCHEMA.to_owned(),
            clock: clock.clone(),
            until_s: now_s,
            observed: Vec::new(),
        });
        json::write(path, &state).context("cannot write to --state-file")?;
        Ok(Self {
            path: path.to_owned(),
            clock,
            left,
            predecessor,
            is_failing: false,
        })
    }

    /// Until when an agent before this one observed a process, in seconds since boot; `None` if none did.
    pub fn observed_until_s(&self, process: &Generation) -> Option<f64> {
        let left = self.left.as_ref()?;
        left.observed.contains(process).then_some(left.until_s)
    }

    /// Writes down that these processes are observed now. Says whether that could be written.
    pub fn beat(&mut self, observed: Vec<Generation>) -> bool {
        let now_s = since_boot_s();
        if let Some(left) = self.left.take() {
            self.take_over(&left, &observed, now_s);
        }
        let state = State {
            schema: SCHEMA.to_owned(),
            clock: self.clock.clone(),
            until_s: now_s,
            observed,
        };
        let written = json::write(&self.path, &state);
        if let Err(error) = &written
            && !self.is_failing
        {
            log::warn!("cannot write to --state-file: {error}");
        }
        self.is_failing = written.is_err();
        written.is_ok()
    }

    /// What there is to know of the agent before this one.
    pub fn predecessor(&self) -> Option<&Predecessor> {
        self.predecessor.as_ref()
    }

    fn take_over(&mut self, left: &State, observed: &[Generation], now_s: f64) {
        let again = observed
            .iter()
            .filter(|process| left.observed.contains(process));
        let predecessor = Predecessor {
            gap_s: Some(now_s - left.until_s),
            processes: again.count() as u64,
            ignored: None,
        };
        eprintln!(
            "probe-user: nobody observed for {:.1} s, since an agent before this one; {} of its {} processes are \
             observed again",
            now_s - left.until_s,
            predecessor.processes,
            left.observed.len()
        );
        self.predecessor = Some(predecessor);
    }
}

/// What another agent has left; an error if it is of no use.
fn left_at(path: &Path, clock: &Clock, now_s: f64) -> anyhow::Result<Option<State>> {
    let state: State = match json::read(path) {
        Err(runlog::Error::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
            return Ok(None);
        }
        read => read?,
    };
    ensure!(
        state.clock.boot_id == clock.boot_id,
        "{} is of another boot",
        path.display()
    );
    ensure!(
        state.clock == *clock && (0.0..=now_s).contains(&state.until_s),
        "{} tells times by another clock",
        path.display()
    );
    Ok(Some(state))
}

#[cfg(test)]
mod tests;

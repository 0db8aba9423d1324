//! The agent that is measured.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::children::ends_with_us;
use anyhow::{Context as _, ensure};
use procfs::process::Process;
use serde_json::Value;

/// How long it may take to load its probes and to observe all processes.
const PATIENCE: Duration = Duration::from_mins(1);
const TICK: Duration = Duration::from_millis(200);

/// An agent that is killed with the value.
#[derive(Debug)]
pub struct Agent {
    child: Child,
    authority: String,
}

/// What a scrape took.
#[derive(Clone, Copy, Debug)]
pub struct Scrape {
    /// From connecting to the last byte.
    pub took: Duration,
    /// Length of the answer's body.
    pub bytes: usize,
}

/// What it takes of the machine.
#[derive(Clone, Copy, Debug)]
pub struct OwnUse {
    at: Instant,
    cpu_s: f64,
    /// Resident memory.
    pub resident_bytes: u64,
}

/// What it has seen of all arms.
#[derive(Clone, Copy, Debug)]
pub struct Arms {
    /// Hooked reads in its histograms.
    pub hooked_reads: u64,
    /// Whether all ledgers balance.
    pub ledgers_balance: bool,
    /// Kernel memory of the histograms.
    pub histogram_bytes: u64,
    /// Length of the answer.
    pub bytes: usize,
    observed: u64,
}

impl OwnUse {
    /// Share of one CPU that it took since then.
    pub fn cpu_share_since(&self, before: &Self) -> f64 {
        (self.cpu_s - before.cpu_s) / (self.at - before.at).as_secs_f64()
    }
}

impl Agent {
    /// Starts one, with room for as many arms as it has by default, or as there are.
    pub fn start(probe_user: &Path, arms: u32) -> anyhow::Result<Self> {
        let series = arms.max(32).to_string();
        let mut command = Command::new(probe_user);
        command
            .args(["agent", "--listen=127.0.0.1:0", "--max-series", &series])
            .stdin(Stdio::null())
            .stdout(Stdio::piped());
        let mut child = ends_with_us(&mut command)
            .spawn()
            .with_context(|| format!("cannot start {}", probe_user.display()))?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().context("no stdout")?).read_line(&mut line)?;
        let authority = line.trim().strip_prefix("http://");
        let authority = authority
            .and_then(|rest| rest.strip_suffix('/'))
            .with_context(|| format!("the agent names no address: {line:?}"))?;
        Ok(Self {
            authority: authority.to_owned(),
            child,
        })
    }

    /// Waits until it observes so many processes of ours.
    pub fn wait_until_it_observes(&self, processes: u32) -> anyhow::Result<()> {
        let give_up = Instant::now() + PATIENCE;
        loop {
            let observed = self.arms().map_or(0, |arms| arms.observed);
            if observed == u64::from(processes) {
                return Ok(());
            }
            ensure!(
                Instant::now() < give_up,
                "the agent observes {observed} of {processes} processes after {} s",
                PATIENCE.as_secs()
            );
            std::thread::sleep(TICK);
        }
    }

    /// Asks for its metrics.
    pub fn scrape(&self) -> anyhow::Result<Scrape> {
        let begun = Instant::now();
        let body = self.get("/metrics")?;
        Ok(Scrape {
            took: begun.elapsed(),
            bytes: body.len(),
        })
    }

    /// What it has seen. Arms of others on this machine are not counted.
    pub fn arms(&self) -> anyhow::Result<Arms> {
        let body = self.get("/v1/arms")?;
        let answer: Value = serde_json::from_str(&body)?;
        let arms = answer["arms"].as_array().context("no arms")?;
        let ours = || {
            let is_ours = |arm: &&Value| {
                arm["arm"]
                    .as_str()
                    .is_some_and(|arm| arm.starts_with("bench-"))
            };
            arms.iter().filter(is_ours)
        };
        let observed = ours()
            .filter(|arm| arm["attached"] == true)
            .filter_map(|arm| arm["processes"].as_array());
        let reads = ours().filter_map(|arm| arm["spans"]["hook_overhead"]["count"].as_u64());
        Ok(Arms {
            hooked_reads: reads.sum(),
            ledgers_balance: ours().all(|arm| arm["ledger"]["balanced"] == true),
            histogram_bytes: answer["probes"]["histogram_bytes"].as_u64().unwrap_or(0),
            bytes: body.len(),
            observed: observed.map(|processes| processes.len() as u64).sum(),
        })
    }

    /// What it takes, by the kernel.
    pub fn own_use(&self) -> anyhow::Result<OwnUse> {
        let stat = Process::new(self.child.id().try_into()?)?.stat()?;
        Ok(OwnUse {
            at: Instant::now(),
            cpu_s: (stat.utime + stat.stime) as f64 / procfs::ticks_per_second() as f64,
            resident_bytes: stat.rss * procfs::page_size(),
        })
    }

    /// The body of an answer.
    fn get(&self, path: &str) -> anyhow::Result<String> {
        let mut stream = TcpStream::connect(&self.authority)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let authority = &self.authority;
        let head = format!("GET {path} HTTP/1.1\r\nHost: {authority}\r\nConnection: close\r\n\r\n");
        stream.write_all(head.as_bytes())?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let (head, body) = answer.split_once("\r\n\r\n").context("no answer")?;
        ensure!(head.starts_with("HTTP/1.1 200 "), "{path}: {head} {body}");
        Ok(body.to_owned())
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

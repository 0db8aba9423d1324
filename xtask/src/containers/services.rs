//! What the load generator and the agent answer, as a program asks them.

use std::net::{Ipv4Addr, TcpListener};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use serde_json::{Value, json};

use crate::command::{command, output};
use crate::interrupt;

/// How long a run may take.
const PATIENCE: Duration = Duration::from_mins(2);
const TICK: Duration = Duration::from_millis(250);

/// The page and the agent, for who knows their token.
#[derive(Debug)]
pub struct Services<'t> {
    pub token: &'t str,
    pub ports: Ports,
}

/// The ports of this machine that a project is published on.
#[derive(Clone, Copy, Debug)]
pub struct Ports {
    pub page: u16,
    pub agent: u16,
    pub sut: u16,
    pub sut_hooked: u16,
}

impl Ports {
    /// Some that nobody uses now.
    pub fn free() -> anyhow::Result<Self> {
        // All are held until the last is found, so that none comes twice.
        let held: Vec<TcpListener> = (0..4)
            .map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))
            .collect::<Result<_, _>>()?;
        let port = |index: usize| held[index].local_addr().map(|address| address.port());
        Ok(Self {
            page: port(0)?,
            agent: port(1)?,
            sut: port(2)?,
            sut_hooked: port(3)?,
        })
    }
}

impl Services<'_> {
    fn page(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.ports.page)
    }

    fn agent(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.ports.agent)
    }

    /// Starts a run over all arms that the page offers; returns it when it has ended.
    pub fn run(&self, requests_per_arm: u64) -> anyhow::Result<Value> {
        let service = self.ask(&self.page("/api"), None)?;
        let wanted = json!({
            "arms": service["arms"],
            "requests": requests_per_arm,
            "blocks": 10,
        });
        let started = self.ask(&self.page("/api/runs"), Some(&wanted))?;
        let id = started["id"].as_str().context("the run has no id")?;
        let address = self.page(&format!("/api/runs/{id}"));
        let give_up = Instant::now() + PATIENCE;
        loop {
            interrupt::check()?;
            let run = self.ask(&address, None)?;
            match run["state"].as_str() {
                Some("complete") => return Ok(run),
                Some("running") => {}
                state => bail!("run {id} is {state:?}: {}", run["reason"]),
            }
            ensure!(
                Instant::now() < give_up,
                "run {id} takes longer than {} s",
                PATIENCE.as_secs()
            );
            thread::sleep(TICK);
        }
    }

    /// What the agent has seen.
    pub fn arms(&self) -> anyhow::Result<Value> {
        self.ask(&self.agent("/v1/arms"), None)
    }

    /// Whether either of them answers.
    pub fn let_in(&self) -> anyhow::Result<bool> {
        for address in [self.page("/api"), self.agent("/v1/arms")] {
            let status = output(self.curl(&address).args([
                "--output",
                "/dev/null",
                "--write-out",
                "%{http_code}",
            ]))?;
            if status.stdout != b"401" {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Asks for something, or sends something.
    fn ask(&self, address: &str, body: Option<&Value>) -> anyhow::Result<Value> {
        let mut curl = self.curl(address);
        curl.arg("--fail-with-body");
        if let Some(body) = body {
            curl.arg("--json").arg(body.to_string());
        }
        let answer = curl.output().context("cannot start curl")?;
        let text = String::from_utf8_lossy(&answer.stdout);
        if !answer.status.success() {
            let said = String::from_utf8_lossy(&answer.stderr);
            bail!("{address}: {} {}", said.trim(), text.trim());
        }
        serde_json::from_str(&text).with_context(|| format!("{address} answers {text}"))
    }

    fn curl(&self, address: &str) -> std::process::Command {
        let mut curl = command("curl");
        // A proxy of the machine's is not for its own addresses.
        curl.args(["--silent", "--show-error", "--noproxy", "*"])
            .args(["--max-time", "30"])
            .arg("--header")
            .arg(format!("Authorization: Bearer {}", self.token))
            .arg(address);
        curl
    }
}

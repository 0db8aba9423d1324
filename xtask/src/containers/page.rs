//! The load generator's API, as a program uses it.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use serde_json::{Value, json};

use crate::command::{command, output};
use crate::interrupt;

/// Where the compose file publishes it.
const ADDRESS: &str = "http://127.0.0.1:8089";
/// How long a run may take.
const PATIENCE: Duration = Duration::from_mins(2);
const TICK: Duration = Duration::from_millis(250);

/// The page, for who knows its token.
#[derive(Debug)]
pub struct Page<'t> {
    pub token: &'t str,
}

impl Page<'_> {
    /// Starts a run over all arms that the page offers; returns it when it has ended.
    pub fn run(&self, requests_per_arm: u64) -> anyhow::Result<Value> {
        let service = self.ask("/api", None)?;
        let wanted = json!({
            "arms": service["arms"],
            "requests": requests_per_arm,
            "blocks": 10,
        });
        let started = self.ask("/api/runs", Some(&wanted))?;
        let id = started["id"].as_str().context("the run has no id")?;
        let address = format!("/api/runs/{id}");
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

    /// Whether it answers this page's user.
    pub fn lets_in(&self) -> anyhow::Result<bool> {
        let status = output(self.curl("/api").args([
            "--output",
            "/dev/null",
            "--write-out",
            "%{http_code}",
        ]))?;
        Ok(status.stdout == b"200")
    }

    /// Asks for something, or sends something.
    fn ask(&self, path: &str, body: Option<&Value>) -> anyhow::Result<Value> {
        let mut curl = self.curl(path);
        curl.arg("--fail-with-body");
        if let Some(body) = body {
            curl.arg("--json").arg(body.to_string());
        }
        let answer = curl.output().context("cannot start curl")?;
        let text = String::from_utf8_lossy(&answer.stdout);
        if !answer.status.success() {
            let said = String::from_utf8_lossy(&answer.stderr);
            bail!("{ADDRESS}{path}: {} {}", said.trim(), text.trim());
        }
        serde_json::from_str(&text).with_context(|| format!("{ADDRESS}{path} answers {text}"))
    }

    fn curl(&self, path: &str) -> std::process::Command {
        let mut curl = command("curl");
        // A proxy of the machine's is not for its own addresses.
        curl.args(["--silent", "--show-error", "--noproxy", "*"])
            .args(["--max-time", "30"])
            .arg("--header")
            .arg(format!("Authorization: Bearer {}", self.token))
            .arg(format!("{ADDRESS}{path}"));
        curl
    }
}

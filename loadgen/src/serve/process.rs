//! A load as a process of its own: `loadgen run --live`. The server shares neither threads nor memory
//! with the instrument, and a load that fails takes nothing with it.

use std::ffi::OsString;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{ExitStatus, Stdio};

use anyhow::Context as _;
use runlog::live::LiveEvent;
use runlog::load_api::{NamedUrl, StartRequest};
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStderr, ChildStdout, Command};
use tokio::task::JoinHandle;

use super::TOKEN_VARIABLE;
use crate::agent::AgentOptions;

/// How much of what the load says on stderr is kept.
const KEPT_OF_STDERR: usize = 16 * 1024;

/// A load that was started.
#[derive(Debug)]
pub struct LoadProcess {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    stderr: JoinHandle<String>,
}

impl LoadProcess {
    /// Starts a load that writes to `out`.
    pub fn start(wanted: &StartRequest, agent: &AgentOptions, out: &Path) -> anyhow::Result<Self> {
        // The program that runs now, even if its file was replaced meanwhile.
        let mut command = Command::new("/proc/self/exe");
        command
            .arg0("loadgen")
            .args(arguments(wanted, out))
            .args(of_agent(agent))
            .env_remove(TOKEN_VARIABLE)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // Ctrl-C at the terminal is for the server, which tells the load once.
            .process_group(0)
            .kill_on_drop(true);
        let mut child = command.spawn().context("cannot start the load")?;
        let stdout = child.stdout.take().context("the load has no stdout")?;
        let stderr = child.stderr.take().context("the load has no stderr")?;
        Ok(Self {
            child,
            lines: BufReader::new(stdout).lines(),
            stderr: tokio::spawn(keep(stderr)),
        })
    }

    /// The next thing that it says; nothing when it has closed its stdout. Safe to be dropped while it
    /// waits.
    pub async fn next_event(&mut self) -> Option<LiveEvent> {
        loop {
            let line = self.lines.next_line().await.ok()??;
            match serde_json::from_str(&line) {
                Ok(event) => return Some(event),
                Err(error) => eprintln!("loadgen serve: the load says what is no event: {error}"),
            }
        }
    }

    /// Asks it to end, as Ctrl-C does. The second time it ends at once.
    pub fn interrupt(&self) {
        // No number once it was waited for, so that no other process can have it.
        let pid = self.child.id().and_then(|pid| i32::try_from(pid).ok());
        if let Some(pid) = pid.and_then(Pid::from_raw) {
            let _ = kill_process(pid, Signal::INT);
        }
    }

    /// Waits for its end; returns how it ended, and what it said on stderr.
    pub async fn end(mut self) -> (String, String) {
        let status = match self.child.wait().await {
            Ok(status) => describe(status),
            Err(error) => format!("cannot be waited for: {error}"),
        };
        let said = self.stderr.await.unwrap_or_default();
        (
            status,
            said.trim().trim_start_matches("loadgen: ").to_owned(),
        )
    }
}

/// The command line of a load. Each option is one word: no value can become an option.
fn arguments(wanted: &StartRequest, out: &Path) -> Vec<OsString> {
    let StartRequest {
        arms,
        requests,
        duration_seconds,
        rate,
        arrivals,
        think_time_seconds,
        pipeline,
        connections,
        blocks,
        order,
        warmup,
        timeout_seconds,
        seed,
    } = wanted;
    let arms = arms
        .iter()
        .map(|NamedUrl { name, url }| format!("--arm={name}={url}"));
    let numbers = [
        ("requests", requests),
        ("connections", connections),
        ("blocks", blocks),
        ("pipeline", pipeline),
        ("warmup", warmup),
        ("seed", seed),
    ];
    let numbers = numbers
        .into_iter()
        .filter_map(|(name, value)| Some(format!("--{name}={}", (*value)?)));
    let fractions = [
        ("duration", duration_seconds),
        ("rate", rate),
        ("think-time", think_time_seconds),
        ("timeout", timeout_seconds),
    ];
    let fractions = fractions
        .into_iter()
        .filter_map(|(name, value)| Some(format!("--{name}={}", (*value)?)));
    let order = order.map(|order| order.name().to_owned());
    let words = [("order", &order), ("arrivals", arrivals)];
    let words = words
        .into_iter()
        .filter_map(|(name, value)| Some(format!("--{name}={}", value.as_ref()?)));
    let mut out_word = OsString::from("--out=");
    out_word.push(out);
    ["run".to_owned(), "--live".to_owned()]
        .into_iter()
        .chain(arms)
        .chain(numbers)
        .chain(fractions)
        .chain(words)
        .map(OsString::from)
        .chain([out_word])
        .collect()
}

/// The options that say which agent takes part.
fn of_agent(agent: &AgentOptions) -> impl Iterator<Item = OsString> {
    let words = [
        agent
            .agent_url
            .as_ref()
            .map(|url| ("--agent=", OsString::from(url))),
        agent
            .agent_token_file
            .as_ref()
            .map(|path| ("--agent-token-file=", path.clone().into_os_string())),
    ];
    words.into_iter().flatten().map(|(option, value)| {
        let mut word = OsString::from(option);
        word.push(value);
        word
    })
}

/// Reads a stderr to its end, so that the load never waits for us, and keeps the beginning.
async fn keep(mut stderr: ChildStderr) -> String {
    let mut kept = Vec::new();
    let mut buffer = vec![0; 4096];
    while let Ok(count @ 1..) = stderr.read(&mut buffer).await {
        let room = KEPT_OF_STDERR.saturating_sub(kept.len());
        kept.extend_from_slice(&buffer[..count.min(room)]);
    }
    String::from_utf8_lossy(&kept).into_owned()
}

fn describe(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("ended with code {code}"),
        (None, Some(signal)) => format!("was ended by signal {signal}"),
        (None, None) => "ended".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use runlog::Order;

    use super::*;

    #[test]
    fn a_value_stays_in_its_word() {
        let wanted = StartRequest {
            arms: vec![NamedUrl {
                name: "a".to_owned(),
                url: "http://a/".to_owned(),
            }],
            requests: Some(10),
            order: Some(Order::Duet),
            arrivals: Some("--gate".to_owned()),
            timeout_seconds: Some(0.5),
            ..StartRequest::default()
        };
        let words = arguments(&wanted, Path::new("--x"));
        let expected = [
            "run",
            "--live",
            "--arm=a=http://a/",
            "--requests=10",
            "--timeout=0.5",
            "--order=duet",
            "--arrivals=--gate",
            "--out=--x",
        ];
        assert_eq!(words, expected);
    }
}

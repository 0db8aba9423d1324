//! A program that observes until it is told to end.

use std::ffi::OsString;
use std::io::{BufRead as _, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use rustix::process::{Pid, Signal, kill_process};

use crate::children::interruptible;

/// How long an observer may take to attach, and to end.
const PATIENCE: Duration = Duration::from_secs(30);
/// What it is given to come to rest.
const REST: Duration = Duration::from_millis(50);

/// A line that an observer printed.
#[derive(Debug)]
enum Line {
    Stdout(String),
    Stderr(String),
}

/// An observer that has attached. It is killed with the value.
#[derive(Debug)]
pub struct Running {
    child: Child,
    lines: Receiver<Line>,
    stdout: String,
    stderr: String,
}

impl Running {
    /// Starts a command, and waits until it has printed that it is attached.
    pub fn start(command: &[OsString], says_when_attached: &str) -> anyhow::Result<Self> {
        let (program, arguments) = command.split_first().context("no command")?;
        let mut child = interruptible(&mut Command::new(program))
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {}", program.display()))?;
        let (sender, lines) = channel();
        forward(child.stdout.take(), sender.clone(), Line::Stdout);
        forward(child.stderr.take(), sender, Line::Stderr);
        let mut running = Self {
            child,
            lines,
            stdout: String::new(),
            stderr: String::new(),
        };
        running.wait_for(says_when_attached)?;
        sleep(REST);
        Ok(running)
    }

    fn wait_for(&mut self, words: &str) -> anyhow::Result<()> {
        let end = Instant::now() + PATIENCE;
        loop {
            match self.lines.recv_timeout(end - Instant::now().min(end)) {
                Ok(line) => {
                    let (Line::Stdout(text) | Line::Stderr(text)) = &line;
                    let said = text.contains(words);
                    self.keep(line);
                    if said {
                        return Ok(());
                    }
                }
                Err(RecvTimeoutError::Timeout) => {
                    bail!("has not attached within {} s", PATIENCE.as_secs())
                }
                Err(RecvTimeoutError::Disconnected) => {
                    let status = self.child.wait()?;
                    bail!("{} ({status})", self.last_words());
                }
            }
        }
    }

    fn keep(&mut self, line: Line) {
        let (text, kept) = match line {
            Line::Stdout(text) => (text, &mut self.stdout),
            Line::Stderr(text) => (text, &mut self.stderr),
        };
        kept.push_str(&text);
        kept.push('\n');
    }

    fn last_words(&self) -> &str {
        let said = if self.stderr.trim().is_empty() {
            &self.stdout
        } else {
            &self.stderr
        };
        said.trim_end().lines().next_back().unwrap_or("ended")
    }

    /// Asks it to end, and returns what it printed on stdout.
    pub fn stop(mut self) -> anyhow::Result<String> {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        kill_process(pid.context("its process number")?, Signal::INT)?;
        let end = Instant::now() + PATIENCE;
        loop {
            match self.lines.recv_timeout(end - Instant::now().min(end)) {
                Ok(line) => self.keep(line),
                Err(RecvTimeoutError::Timeout) => {
                    bail!("has not ended within {} s", PATIENCE.as_secs())
                }
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        let status = self.child.wait()?;
        if !status.success() {
            bail!("{} ({status})", self.last_words());
        }
        Ok(std::mem::take(&mut self.stdout))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Passes lines on as they come. The channel ends when all of the child's streams have.
fn forward(
    stream: Option<impl Read + Send + 'static>,
    to: Sender<Line>,
    as_line: fn(String) -> Line,
) {
    thread::spawn(move || {
        let lines = stream
            .map(BufReader::new)
            .into_iter()
            .flat_map(BufReader::lines);
        for line in lines.map_while(Result::ok) {
            if to.send(as_line(line)).is_err() {
                break;
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start(script: &str) -> anyhow::Result<Running> {
        let command = ["sh", "-c", script].map(OsString::from);
        Running::start(&command, "attached")
    }

    #[test]
    fn an_observer_is_waited_for_and_asked_to_end() {
        let script = "trap 'echo result; exit 0' INT; echo not yet; echo attached >&2; \
                      while :; do sleep 0.01; done";
        let running = start(script).unwrap();
        assert_eq!(running.stop().unwrap(), "not yet\nresult\n");
    }

    #[test]
    fn an_observer_that_fails_says_why() {
        let early = start("echo no such probe >&2; exit 7").unwrap_err();
        assert!(early.to_string().contains("no such probe"), "{early}");
        let script =
            "trap 'echo torn >&2; exit 9' INT; echo attached; while :; do sleep 0.01; done";
        let late = start(script).unwrap().stop().unwrap_err();
        assert!(late.to_string().contains("torn"), "{late}");
        let error = Running::start(&["no-such-program".into()], "").unwrap_err();
        assert!(error.to_string().contains("no-such-program"), "{error}");
    }
}

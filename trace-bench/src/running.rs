//! An observer that runs.

use std::fs;
use std::io::{BufRead as _, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use rustix::process::{Pid, Signal, kill_process};

use crate::interruptible::interruptible;
use crate::observer::Observer;

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
    /// Starts an observer, and waits until it has attached.
    pub fn start(observer: &Observer) -> anyhow::Result<Self> {
        let (program, arguments) = observer.command.split_first().context("no command")?;
        if let Some(folder) = &observer.folder {
            empty(folder)?;
        }
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
        running.wait_for(observer.says_when_attached)?;
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

/// Removes a folder with all that is in it, and makes it anew.
fn empty(folder: &Path) -> anyhow::Result<()> {
    fs::remove_dir_all(folder)
        .and_then(|()| fs::create_dir(folder))
        .with_context(|| format!("cannot empty {}", folder.display()))
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
    use crate::observer::{Owner, Proof};

    fn shell(script: &str) -> Observer {
        Observer {
            name: "shell".to_owned(),
            owner: Owner::Peer,
            proof: Proof::None,
            command: ["sh", "-c", script].map(Into::into).into(),
            folder: None,
            says_when_attached: "attached",
        }
    }

    #[test]
    fn an_observer_finds_its_folder_empty() {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("records");
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("old"), "").unwrap();
        let script = format!(
            "trap 'exit 0' INT; echo attached; ls {}; while :; do sleep 0.01; done",
            folder.display()
        );
        let mut observer = shell(&script);
        observer.folder = Some(folder);
        let running = Running::start(&observer).unwrap();
        assert_eq!(running.stop().unwrap(), "attached\n");
    }

    #[test]
    fn an_observer_is_waited_for_and_asked_to_end() {
        let script = "trap 'echo result; exit 0' INT; echo not yet; echo attached >&2; \
                      while :; do sleep 0.01; done";
        let running = Running::start(&shell(script)).unwrap();
        assert_eq!(running.stop().unwrap(), "not yet\nresult\n");
    }

    #[test]
    fn an_observer_that_fails_says_why() {
        let early = Running::start(&shell("echo no such probe >&2; exit 7")).unwrap_err();
        assert!(early.to_string().contains("no such probe"), "{early}");
        let script =
            "trap 'echo torn >&2; exit 9' INT; echo attached; while :; do sleep 0.01; done";
        let late = Running::start(&shell(script)).unwrap().stop().unwrap_err();
        assert!(late.to_string().contains("torn"), "{late}");
        let mut unknown = shell("");
        unknown.command = vec!["no-such-program".into()];
        let error = Running::start(&unknown).unwrap_err();
        assert!(error.to_string().contains("no-such-program"), "{error}");
    }
}

//! Children that die with their test, and what they print.

use std::fs;
use std::io::{Read, Write as _};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use rustix::process::{Pid, Signal, kill_process};

use super::wait_for;

/// How long any one command may take.
const PATIENCE: Duration = Duration::from_mins(3);

/// A child that is killed when the value goes away.
#[derive(Debug)]
pub struct Running {
    child: Child,
}

impl Running {
    /// Starts it. Its stdout is thrown away unless the command says otherwise.
    pub fn start(mut command: Command) -> anyhow::Result<Self> {
        let child = command.stdout(Stdio::null()).spawn();
        Ok(Self {
            child: child.with_context(|| format!("cannot start {command:?}"))?,
        })
    }

    /// Starts it with a file as its stdin. Its stdout is thrown away.
    pub fn start_with_input(command: &mut Command, input: fs::File) -> anyhow::Result<Self> {
        let child = command.stdin(input).stdout(Stdio::null()).spawn();
        Ok(Self {
            child: child.with_context(|| format!("cannot start {command:?}"))?,
        })
    }

    /// Starts it with its output kept for [`Running::output`].
    pub fn start_piped(command: &mut Command) -> anyhow::Result<Self> {
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        Ok(Self {
            child: child.with_context(|| format!("cannot start {command:?}"))?,
        })
    }

    /// Starts it to be talked to: [`Running::tell`], [`Running::hear`].
    pub fn start_talking(command: &mut Command) -> anyhow::Result<Self> {
        let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        Ok(Self {
            child: child.with_context(|| format!("cannot start {command:?}"))?,
        })
    }

    /// Writes to its stdin.
    pub fn tell(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        let stdin = self.child.stdin.as_mut().context("stdin is not piped")?;
        Ok(stdin.write_all(bytes)?)
    }

    /// Reads so many bytes from its stdout.
    pub fn hear(&mut self, count: usize) -> anyhow::Result<Vec<u8>> {
        let stdout = self.child.stdout.as_mut().context("stdout is not piped")?;
        let mut heard = vec![0; count];
        stdout.read_exact(&mut heard)?;
        Ok(heard)
    }

    /// Its process number.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        Ok(kill_process(pid(self.pid())?, signal)?)
    }

    /// Waits for its end.
    pub fn wait(&mut self) -> anyhow::Result<ExitStatus> {
        let mut status = None;
        wait_for("a child to end", || {
            status = self.child.try_wait()?;
            Ok(status.is_some())
        })?;
        status.context("no status")
    }

    /// Waits for its end and returns what it printed. A child that takes too long is killed, and is
    /// an error.
    pub fn output(mut self) -> anyhow::Result<Output> {
        let stdout = read_aside(self.child.stdout.take());
        let stderr = read_aside(self.child.stderr.take());
        let give_up = Instant::now() + PATIENCE;
        let status = loop {
            if let Some(status) = self.child.try_wait()? {
                break status;
            }
            if Instant::now() > give_up {
                self.child.kill()?;
                let said = stderr.join().unwrap_or_default();
                bail!(
                    "no end after {} s: {}",
                    PATIENCE.as_secs(),
                    String::from_utf8_lossy(&said)
                );
            }
            thread::sleep(Duration::from_millis(2));
        };
        Ok(Output {
            status,
            stdout: stdout.join().unwrap_or_default(),
            stderr: stderr.join().unwrap_or_default(),
        })
    }

    /// Reads its stdout up to and with a line that is the last one wanted.
    pub fn read_until(&mut self, mut is_last: impl FnMut(&str) -> bool) -> anyhow::Result<Vec<u8>> {
        let pipe = self.child.stdout.as_mut().context("stdout is not piped")?;
        let (mut seen, mut start) = (Vec::new(), 0);
        let mut byte = [0];
        while pipe.read(&mut byte)? > 0 {
            seen.push(byte[0]);
            if byte == *b"\n" {
                if is_last(std::str::from_utf8(&seen[start..])?) {
                    return Ok(seen);
                }
                start = seen.len();
            }
        }
        bail!("ended too soon: {}", String::from_utf8_lossy(&seen))
    }

    /// Waits for a line on its stderr that contains `text`.
    pub fn wait_for_stderr(&mut self, text: &str) -> anyhow::Result<()> {
        let pipe = self.child.stderr.as_mut().context("stderr is not piped")?;
        let mut seen = Vec::new();
        let mut byte = [0];
        while !String::from_utf8_lossy(&seen).contains(text) {
            if pipe.read(&mut byte)? == 0 {
                bail!(
                    "ended without \"{text}\": {}",
                    String::from_utf8_lossy(&seen)
                );
            }
            seen.push(byte[0]);
        }
        Ok(())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A process number for system calls.
pub fn pid(pid: u32) -> anyhow::Result<Pid> {
    Pid::from_raw(i32::try_from(pid)?).context("not a process number")
}

/// Whether a process exists and is not a zombie.
pub fn is_alive(pid: u32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| {
        !stat
            .rsplit(')')
            .next()
            .unwrap_or_default()
            .starts_with(" Z")
    })
}

/// Reads a pipe to its end in a thread of its own.
fn read_aside(pipe: Option<impl Read + Send + 'static>) -> thread::JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut pipe) = pipe {
            let _ = pipe.read_to_end(&mut bytes);
        }
        bytes
    })
}

/// Runs a command to its end.
pub fn output(command: &mut Command) -> anyhow::Result<Output> {
    Running::start_piped(command)?
        .output()
        .with_context(|| format!("{command:?}"))
}

/// What came of a command, in words.
pub fn describe(output: &Output) -> String {
    format!(
        "{}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

/// Runs a command; an error with its output if it fails.
#[track_caller]
pub fn succeed(command: &mut Command) -> anyhow::Result<Output> {
    let output = output(command)?;
    ensure!(
        output.status.success(),
        "{command:?} ended with {}",
        describe(&output)
    );
    Ok(output)
}

/// Runs a command that must fail with this exit code and say all of these texts on stderr.
#[track_caller]
pub fn fail(command: &mut Command, code: i32, texts: &[&str]) -> anyhow::Result<()> {
    let output = output(command)?;
    let stderr = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.code() == Some(code),
        "{command:?} ended with {}, not {code}: {stderr}",
        output.status
    );
    for text in texts {
        ensure!(
            stderr.contains(text),
            "{command:?} does not say \"{text}\": {stderr}"
        );
    }
    ensure!(
        !stderr.contains("panicked"),
        "{command:?} panicked: {stderr}"
    );
    Ok(())
}

/// The JSON on a command's stdout.
pub fn json(output: &Output) -> anyhow::Result<serde_json::Value> {
    serde_json::from_slice(&output.stdout)
        .with_context(|| format!("not JSON: {}", String::from_utf8_lossy(&output.stdout)))
}

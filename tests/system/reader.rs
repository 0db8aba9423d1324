//! A hooked process that reads when it is told to, and counts what it does: `c/reader.c`.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use anyhow::Context as _;
use rustix::process::{Signal, kill_process};

use crate::kit::{Kit, compile_c, pid};

const SOURCE: &str = include_str!("c/reader.c");

/// The process. It waits until [`Reader::go`], and ends with the value.
#[derive(Debug)]
pub struct Reader {
    child: Child,
    stdout: BufReader<ChildStdout>,
    threads: u32,
}

/// When its threads are to stop reading.
#[derive(Clone, Copy, Debug)]
pub enum Until {
    /// Each after this many seconds.
    Seconds(u32),
    /// Each after this many reads.
    Calls(u32),
}

/// What it did, by its own count.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Done {
    /// Reads of its connections, of one byte each. It made no others.
    pub reads: u64,
    /// Writes to its connections.
    pub writes: u64,
    /// Connections that it accepted, read from and closed.
    pub connections: u64,
    /// How long that took.
    pub seconds: f64,
}

impl Reader {
    /// Starts it, and waits until it is ready.
    pub fn start(kit: &Kit, folder: &Path, threads: u32, until: Until) -> anyhow::Result<Self> {
        let program = compile_c(folder, SOURCE, &["-pthread"])?;
        let (seconds, calls) = match until {
            Until::Seconds(seconds) => (seconds, 0),
            Until::Calls(calls) => (0, calls),
        };
        let mut child = Command::new(program)
            .args([threads, seconds, calls].map(|number| number.to_string()))
            .env("LD_PRELOAD", kit.path("readhook.so"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()?;
        let stdout = BufReader::new(child.stdout.take().context("stdout is piped")?);
        let mut reader = Self {
            child,
            stdout,
            threads,
        };
        let line = reader.line()?;
        ensure!(line == "ready", "{line}");
        Ok(reader)
    }

    /// Its process number.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Has it begin.
    pub fn go(&self) -> anyhow::Result<()> {
        Ok(kill_process(pid(self.pid())?, Signal::USR1)?)
    }

    /// Waits until it has read everything.
    pub fn done(&mut self) -> anyhow::Result<Done> {
        let line = self.line()?;
        let mut words = line.split(' ');
        let mut word = || words.next().with_context(|| format!("\"{line}\""));
        Ok(Done {
            reads: word()?.parse()?,
            writes: word()?.parse()?,
            connections: u64::from(self.threads),
            seconds: word()?.parse()?,
        })
    }

    fn line(&mut self) -> anyhow::Result<String> {
        let mut line = String::new();
        let count = self.stdout.read_line(&mut line)?;
        ensure!(count > 0, "the reader has ended");
        Ok(line.trim_end().to_owned())
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

//! Letting the program that started us act between blocks: see [`runlog::gate`].

use std::io::{self, BufRead as _, StdinLock, StdoutLock, Write as _};

use anyhow::Context as _;
use runlog::gate::{Event, GO};

/// The other program, on our standard streams.
#[derive(Debug)]
pub struct Gate {
    input: StdinLock<'static>,
    output: StdoutLock<'static>,
}

impl Gate {
    /// Takes stdin and stdout over.
    pub fn open() -> Self {
        Self {
            input: io::stdin().lock(),
            output: io::stdout().lock(),
        }
    }

    /// Tells the other program something.
    pub fn tell(&mut self, event: &Event) -> anyhow::Result<()> {
        let line = serde_json::to_string(event)?;
        writeln!(self.output, "{line}")
            .and_then(|()| self.output.flush())
            .context("the program at the gate is gone")
    }

    /// Waits for the go-ahead. False when the other program wants no more blocks, or is gone.
    pub fn wait(&mut self) -> bool {
        let mut line = String::new();
        match self.input.read_line(&mut line) {
            Ok(_) => line.trim_end() == GO,
            Err(_) => false,
        }
    }
}

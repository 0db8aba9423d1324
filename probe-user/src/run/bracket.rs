//! The bracket around a hook, which decides request by request whether it runs, and what is read from it.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};

use abi::trial::calls::Call;
use abi::trial::{RECORDS_VARIABLE, Trial, VARIABLE};
use anyhow::Context as _;
use runlog::RunDirectory;
use runlog::record::BracketedCall;
use runlog::table::TableWriter;
use runlog::trial::{SCHEMA, TrialCounts};
use tokio::process::Command;

use crate::run::process;
use crate::run::programs;
use crate::run::server_log;
use crate::run::shared_memory::{SharedMemory, Writers};

/// What is preloaded around the hook, and how arms are drawn.
#[derive(Clone, Debug)]
pub struct Bracket {
    /// The library in front of the hook.
    pub front: PathBuf,
    /// The library behind it.
    pub back: PathBuf,
    /// How arms are drawn.
    pub trial: Trial,
}

impl Bracket {
    /// The one beside this program.
    pub fn beside_us(trial: &Trial) -> anyhow::Result<Self> {
        Ok(Self {
            front: programs::front()?,
            back: programs::back()?,
            trial: *trial,
        })
    }

    /// What is preloaded, in this order.
    pub fn around<'p>(&'p self, hook: &'p Path) -> [&'p Path; 3] {
        [&self.front, hook, &self.back]
    }

    /// Tells a server that is to be started how arms are drawn, and has it inherit memory for its records.
    pub fn hand_over(&self, server: &mut Command) -> anyhow::Result<SharedMemory> {
        let memory = SharedMemory::create(&self.trial)
            .context("no memory (memfd_create) for the records of a server")?;
        let descriptor = process::inherit(server, memory.descriptor()?);
        server
            .env(process::name(VARIABLE), self.trial.to_string())
            .env(process::name(RECORDS_VARIABLE), descriptor.to_string());
        Ok(memory)
    }
}

/// Writes what the servers of a trial record and count.
#[derive(Debug)]
pub struct BracketLog {
    calls: TableWriter<BracketedCall>,
    /// By number of the server.
    memories: Vec<SharedMemory>,
    /// Where requests have no size, and so carry no salt: the numbers of connections, by server and front's identity of them.
    connections: Option<HashMap<(u16, u64), u32>>,
}

impl BracketLog {
    /// Creates the table.
    pub fn create(
        run: &RunDirectory,
        memories: Vec<SharedMemory>,
        trial: &Trial,
    ) -> runlog::Result<Self> {
        Ok(Self {
            calls: TableWriter::create(run.bracketed_calls())?,
            memories,
            connections: trial.is_of_any_size().then(HashMap::new),
        })
    }

    /// Has the servers record their calls from now on, or no longer.
    pub fn set_recording(&self, is_recording: bool) -> io::Result<()> {
        let mut memories = self.memories.iter();
        memories.try_for_each(|memory| memory.set_recording(is_recording))
    }

    /// Writes what was recorded since it was asked last.
    pub fn drain(&mut self, writers: Writers) -> anyhow::Result<()> {
        for (server, memory) in (0..).zip(&mut self.memories) {
            let trial = *memory.trial();
            memory
                .drain(writers, |mut call| {
                    if let Some(connections) = &mut self.connections {
                        let next = u32::try_from(connections.len())?;
                        let number = connections.entry((server, call.salt)).or_insert(next);
                        call.salt = trial.salt(*number);
                    }
                    Ok(self.calls.push(&row(server, &call))?)
                })
                .with_context(|| format!("cannot read the records of server {server}"))?;
        }
        Ok(())
    }

    /// Writes what is buffered, so that even SIGKILL would lose no more than a block.
    pub fn flush(&mut self) -> runlog::Result<()> {
        self.calls.flush()
    }

    /// Completes the table, and writes the counts down. The servers must have ended.
    pub fn finish(mut self, run: &RunDirectory) -> anyhow::Result<()> {
        let drained = self.drain(Writers::Gone);
        let servers = self.memories.iter().map(SharedMemory::counts);
        let counts = TrialCounts {
            schema: SCHEMA.to_owned(),
            servers: servers.collect::<io::Result<_>>()?,
        };
        // The short file first: a full disk may have no room for the rest of the long one.
        runlog::json::write(&run.trial_counts(), &counts)?;
        self.calls.finish()?;
        if let (Some(connections), Some(memory)) = (&self.connections, self.memories.first()) {
            let connections = u32::try_from(connections.len())?;
            server_log::write(run, memory.trial(), connections)?;
        }
        drained
    }
}

// Rows keep the flags as front sets them.
const _: () = assert!(
    Call::REACHED_BACK == BracketedCall::REACHED_BACK
        && Call::SEVERAL_INNER == BracketedCall::SEVERAL_INNER
        && Call::FRESH == BracketedCall::FRESH
        && Call::ANSWER == BracketedCall::ANSWER
);

/// A call as a row of the table.
pub fn row(server: u16, call: &Call) -> BracketedCall {
    BracketedCall {
        server,
        arm: call.arm.into(),
        function: call.function,
        flags: call.flags,
        salt: call.salt,
        ordinal: call.ordinal,
        returned: call.returned,
        enter_ns: call.enter_ns,
        to_back_ns: call.to_back_ns,
        back_exit_ns: call.back_exit_ns,
        from_back_ns: call.from_back_ns,
        waited_ns: call.waited_ns,
    }
}

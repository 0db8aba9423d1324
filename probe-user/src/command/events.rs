//! The records of a trace, on disk: `probe-user trace --events`.

use std::path::Path;

use anyhow::Context as _;
use runlog::json;
use runlog::trace::{Events, Trace};

use crate::command::options::NewRun;
use crate::run::span_log::SpanLog;
use probes::records::Record;

/// A folder that is being filled. What goes wrong with it does not end the trace at once: the probes
/// must be detached and the ledger drawn up all the same.
#[derive(Debug)]
pub struct EventLog {
    run: NewRun,
    log: SpanLog,
    has_begun: bool,
    not_written: u64,
    trouble: Option<String>,
}

impl EventLog {
    /// Makes the folder and the tables in it.
    pub fn create(folder: &Path) -> anyhow::Result<Self> {
        let run = NewRun::create(folder).context("cannot write to the folder of --events")?;
        let log = SpanLog::create_with_unhooked(&run.directory).inspect_err(|_| run.discard())?;
        Ok(Self {
            run,
            log,
            has_begun: false,
            not_written: 0,
            trouble: None,
        })
    }

    /// Leaves a mark that the folder is of a trace that goes on. It stays if this process is killed.
    pub fn begin(&mut self, running: &Trace) -> anyhow::Result<()> {
        json::write(&self.run.directory.trace(), running)?;
        self.has_begun = true;
        Ok(())
    }

    /// Writes a record.
    pub fn push(&mut self, record: Record) {
        let written = match self.trouble {
            None => self.log.push(0, record),
            Some(_) => Ok(()),
        };
        self.note(written);
        if self.trouble.is_some() {
            self.not_written += record.spans();
        }
    }

    /// Writes what is buffered.
    pub fn flush(&mut self) {
        if self.trouble.is_none() {
            let flushed = self.log.flush();
            self.note(flushed);
        }
    }

    /// Why records cannot be written.
    pub fn trouble(&self) -> Option<&str> {
        self.trouble.as_deref()
    }

    fn note(&mut self, result: runlog::Result<()>) {
        if let Err(error) = result {
            self.trouble
                .get_or_insert_with(|| format!("{:#}", anyhow::Error::from(error)));
        }
    }

    /// Completes the tables and says what is in them.
    pub fn finish(self, reader_woken: u64) -> Finished {
        let Self {
            run,
            log,
            not_written,
            mut trouble,
            ..
        } = self;
        let rows = log.rows(&run.directory);
        if let Err(error) = log.finish() {
            trouble.get_or_insert_with(|| format!("{:#}", anyhow::Error::from(error)));
        }
        let events = Events {
            folder: run.directory.root().display().to_string(),
            rows,
            not_written,
            reader_woken,
        };
        Finished {
            run,
            events,
            trouble,
        }
    }

    /// Removes the folder again if the trace never began.
    pub fn discard_unless_begun(&self) {
        if !self.has_begun {
            self.run.discard();
        }
    }
}

/// A folder that has all that it will have, but for the trace itself.
#[derive(Debug)]
pub struct Finished {
    run: NewRun,
    /// What is in it.
    pub events: Events,
    /// Why not all records are.
    pub trouble: Option<String>,
}

impl Finished {
    /// Puts the trace beside the records, in place of the mark.
    pub fn complete(&self, trace: &Trace) -> anyhow::Result<()> {
        Ok(json::write(&self.run.directory.trace(), trace)?)
    }
}

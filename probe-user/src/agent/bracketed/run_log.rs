//! The calls of a trial that a load generator has announced, written down while it goes on, and what its servers counted.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, OnceLock};

use abi::trial::Trial;
use abi::trial::calls::Call;
use runlog::record::BracketedCall;
use runlog::table::TableWriter;
use runlog::trial::{ArmCounts, RecordLedger, SCHEMA, ServerCounts, TrialCounts};
use runlog::{RunDirectory, json};

use super::{MemoryId, add};
use crate::run::bracket::row;
use crate::run::shared_memory::SharedMemory;

/// Number of the server in rows: to the load generator all processes are one.
const SERVER: u16 = 0;

/// The log.
#[derive(Debug)]
pub struct RunLog {
    folder: RunDirectory,
    trial: Trial,
    calls: TableWriter<BracketedCall>,
    /// Series whose calls are written.
    pub series: BTreeSet<u32>,
    /// What memories had counted when the run began. Those that came later had counted nothing.
    before: BTreeMap<MemoryId, ServerCounts>,
    /// What those have counted that have ended meanwhile.
    ended: ServerCounts,
    trouble: Arc<OnceLock<String>>,
    written: u64,
}

/// Calls of a run that are kept at most: they are joined in memory, and each takes some 200 bytes there.
const MOST_CALLS: u64 = 1 << 20;

impl RunLog {
    /// Begins one.
    pub fn create(
        folder: &RunDirectory,
        trial: &Trial,
        trouble: &Arc<OnceLock<String>>,
    ) -> anyhow::Result<Self> {
        Ok(Self {
            calls: TableWriter::create(folder.bracketed_calls())?,
            folder: folder.clone(),
            trial: *trial,
            series: BTreeSet::new(),
            before: BTreeMap::new(),
            ended: ServerCounts::default(),
            trouble: Arc::clone(trouble),
            written: 0,
        })
    }

    /// Whether a memory is of processes that draw arms as the run does. Who does not is no part of it.
    pub fn is_of(&self, series: u32, memory: &SharedMemory) -> bool {
        self.series.contains(&series) && *memory.trial() == self.trial
    }

    /// Notes what a memory had counted before.
    pub fn begin(&mut self, id: MemoryId, memory: &SharedMemory) -> anyhow::Result<()> {
        self.before.insert(id, counts(memory)?);
        Ok(())
    }

    /// Writes a call.
    pub fn push(&mut self, call: &Call) {
        self.written += 1;
        if self.written > MOST_CALLS {
            let _ = self
                .trouble
                .set(format!("more than {MOST_CALLS} calls were recorded"));
        }
        if self.trouble.get().is_none()
            && let Err(error) = self.calls.push(&row(SERVER, call))
        {
            let _ = self
                .trouble
                .set(format!("{:#}", anyhow::Error::from(error)));
        }
    }

    /// Adds what a memory has counted meanwhile.
    pub fn end(&mut self, id: MemoryId, memory: &SharedMemory) -> anyhow::Result<()> {
        let before = self.before.remove(&id).unwrap_or_default();
        add_since(&mut self.ended, &counts(memory)?, &before);
        Ok(())
    }

    /// Completes the files.
    pub fn finish(self) -> anyhow::Result<()> {
        let counts = TrialCounts {
            schema: SCHEMA.to_owned(),
            servers: vec![self.ended],
        };
        // The short file first: a full disk may have no room for the rest of the long one.
        json::write(&self.folder.trial_counts(), &counts)?;
        self.calls.finish()?;
        Ok(())
    }
}

fn counts(memory: &SharedMemory) -> anyhow::Result<ServerCounts> {
    Ok(ServerCounts {
        records: memory.ledger()?,
        ..memory.counts()?
    })
}

/// Adds what was counted since. Whoever owns the memory can write anything there.
fn add_since(sum: &mut ServerCounts, now: &ServerCounts, before: &ServerCounts) {
    let add_to = |sum: &mut u64, now: u64, before: u64| {
        *sum = sum.saturating_add(now.saturating_sub(before));
    };
    sum.processes = sum.processes.saturating_add(now.processes);
    add_to(&mut sum.connections, now.connections, before.connections);
    add_to(
        &mut sum.first_requests,
        now.first_requests,
        before.first_requests,
    );
    add_to(&mut sum.without_salt, now.without_salt, before.without_salt);
    add_to(&mut sum.off_boundary, now.off_boundary, before.off_boundary);
    add_to(
        &mut sum.beyond_request,
        now.beyond_request,
        before.beyond_request,
    );
    for (name, now) in &now.arms {
        let before = before.arms.get(name).copied().unwrap_or_default();
        let ArmCounts {
            requests,
            calls,
            unreached,
            bytes,
        } = sum.arms.entry(name.clone()).or_default();
        add_to(requests, now.requests, before.requests);
        add_to(calls, now.calls, before.calls);
        add_to(unreached, now.unreached, before.unreached);
        add_to(bytes, now.bytes, before.bytes);
    }
    let (now, before) = (now.records, before.records);
    let since = RecordLedger {
        begun: now.begun.saturating_sub(before.begun),
        read: now.read.saturating_sub(before.read),
        overwritten: now.overwritten.saturating_sub(before.overwritten),
        torn: now.torn.saturating_sub(before.torn),
        unrecordable: now.unrecordable.saturating_sub(before.unrecordable),
    };
    add(&mut sum.records, &since);
}

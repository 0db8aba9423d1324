//! How long `read(2)` took in each block, whichever arm it was: the one part of a request that probes see
//! without a hook.

use std::collections::BTreeMap;

use abi::SpanKind;
use hdrhistogram::Histogram;
use runlog::RunDirectory;
use runlog::record::BlockReads;
use runlog::table::TableWriter;
use stats::Trim;
use stats::grouped::{Group, trimmed_mean};

use probes::Probes;

/// Writes a row a block.
#[derive(Debug)]
pub struct BlockReadsLog {
    table: TableWriter<BlockReads>,
    trim: Trim,
    /// What there was of each arm before the block.
    before: BTreeMap<u16, Histogram<u64>>,
}

impl BlockReadsLog {
    /// Creates the table.
    pub fn create(run: &RunDirectory, trim: Trim) -> runlog::Result<Self> {
        Ok(Self {
            table: TableWriter::create(run.block_reads())?,
            trim,
            before: BTreeMap::new(),
        })
    }

    /// Adds the block that has just ended.
    pub fn add(&mut self, probes: &Probes, block: u32, arm: u16) -> anyhow::Result<()> {
        let now = probes
            .durations(arm.into(), SpanKind::ReadSyscall)?
            .histogram;
        let mut of_block = now.clone();
        if let Some(before) = self.before.insert(arm, now) {
            of_block.subtract(&before)?;
        }
        let groups: Vec<Group> = of_block
            .iter_recorded()
            .map(|step| Group {
                lowest: of_block.lowest_equivalent(step.value_iterated_to()) as f64,
                highest: of_block.highest_equivalent(step.value_iterated_to()) as f64,
                count: step.count_at_value(),
            })
            .collect();
        if let Some(mean_ns) = trimmed_mean(&groups, self.trim) {
            self.table.push(&BlockReads {
                block,
                arm,
                reads: of_block.len(),
                mean_ns,
            })?;
        }
        Ok(())
    }

    /// Completes the table.
    pub fn finish(self) -> runlog::Result<u64> {
        self.table.finish()
    }
}

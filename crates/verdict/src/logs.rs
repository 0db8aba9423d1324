//! Reading the logs of a run back: block means of every layer, out of joined requests where there are
//! records.

use std::collections::BTreeMap;

use anyhow::Context as _;
use runlog::RunDirectory;
use runlog::analysis::Join;
use runlog::calibration::HOOK_OVERHEAD;
use runlog::clock::Clock;
use runlog::json;
use runlog::manifest::Manifest;
use runlog::record::{BlockReads, JoinedRequest};
use runlog::summary::LoadSummary;
use runlog::table::{Rows, TableWriter};
use stats::Trim;

use crate::blocks::BlockMeans;
use crate::budget::BudgetCollector;
use crate::in_situ::{InSituCollector, set};
use crate::join::{Grouping, JoinOutput, Source, Window, join};
use crate::order::Order;
use crate::{threshold, trial};

/// The block means of every layer that was logged.
#[derive(Debug)]
pub struct Logged {
    /// Response times.
    pub blocks: BlockMeans,
    /// Calls of hooked arms.
    pub calls: InSituCollector,
    /// Mean time of `read(2)` in the kernel by arm, the arm that ran beside it, and round.
    reads: BTreeMap<(u16, Option<u16>), Vec<Option<f64>>>,
    /// The budget of each hooked arm.
    pub budgets: BTreeMap<u16, BudgetCollector>,
    /// Where durations are split into body and tail, ns; `None` without requests.
    pub threshold_ns: Option<f64>,
    /// What came out request by request; `None` unless arms were drawn so.
    pub trial: Option<trial::Found>,
    /// The join; `None` without probes.
    pub join: Option<Join>,
    /// Whether a log was cut short.
    pub cut_short: bool,
}

/// Reads the logs of a run back. Joins records to requests where there are records; `table` takes the
/// joined requests, if they are to be written down.
pub fn read_logs(
    run: &RunDirectory,
    manifest: &Manifest,
    trim: Trim,
    mut table: Option<TableWriter<JoinedRequest>>,
) -> anyhow::Result<Logged> {
    let order = Order::of(&manifest.schedule);
    let trial = order
        .is_trial()
        .then(|| trial::read(run, &manifest.schedule))
        .transpose()?;
    let threshold_ns = match &trial {
        Some(trial) => trial.result.threshold_ns,
        None => {
            threshold::of_blocks(run, manifest.arms.len()).context("cannot read the request log")?
        }
    };
    let clip_ns = threshold_ns.unwrap_or(f64::INFINITY);
    let blocks = BlockMeans::read(run, clip_ns, &manifest.schedule)
        .context("cannot read the request log")?;
    let calibration = manifest.calibration.as_ref();
    let bias_ns = calibration
        .and_then(|calibration| calibration.of(HOOK_OVERHEAD))
        .map_or(manifest.environment.clock_read_ns, |calibrated| {
            calibrated.bias_mean.estimate
        });
    let mut logged = Logged {
        cut_short: blocks.cut_short,
        blocks,
        calls: InSituCollector::new(clip_ns, bias_ns),
        reads: BTreeMap::new(),
        budgets: BTreeMap::new(),
        threshold_ns,
        trial,
        join: None,
    };
    if manifest.probes.is_some() {
        let is_hooked = |arm: u16| {
            let arm = manifest.arms.get(usize::from(arm));
            arm.is_some_and(|arm| arm.hook.is_some())
        };
        let source = Source {
            load: run.clone(),
            spans: run.clone(),
            grouping: Grouping::Block,
            // In a trial every request went through the process with the probes.
            wants: &|arm, observed| observed && (order.is_trial() || is_hooked(arm)),
            window: Window::ALWAYS,
            one_clock: one_clock(manifest.clock.as_ref(), run)?,
        };
        let JoinOutput { join, cut_short } = join_blocks(&source, table.as_mut(), |block| {
            logged.calls.add(block, &logged.blocks);
            add_to_budgets(&mut logged.budgets, block, trim);
        })?;
        logged.cut_short |= cut_short;
        logged.join = Some(join);
        // Not in runs of earlier versions.
        if run.block_reads().exists() {
            for row in Rows::<BlockReads>::open(run.block_reads())? {
                let row = row?;
                if let Some((round, beside)) = logged.blocks.round_of(row.block) {
                    let means = logged.reads.entry((row.arm, beside)).or_default();
                    set(means, round, Some(row.mean_ns));
                }
            }
        }
    }
    if let Some(table) = table {
        table.finish()?;
    }
    Ok(logged)
}

impl Logged {
    /// Mean time of `read(2)` in the kernel by round, hooked or not, for a comparison with another arm. In
    /// a duet, of the blocks that ran beside it.
    pub fn reads_against(&self, arm: u16, other: u16) -> &[Option<f64>] {
        let seat = |beside| self.reads.get(&(arm, beside));
        seat(None)
            .or_else(|| seat(Some(other)))
            .map_or(&[], Vec::as_slice)
    }
}

/// Joins, and hands the joined requests out block by block; in a trial the arms of a block one after the other. `table`
/// takes them too.
pub fn join_blocks(
    source: &Source<'_>,
    mut table: Option<&mut TableWriter<JoinedRequest>>,
    mut take: impl FnMut(&[JoinedRequest]),
) -> anyhow::Result<JoinOutput> {
    let mut block: Vec<JoinedRequest> = Vec::new();
    let mut take = |block: &mut Vec<JoinedRequest>| {
        block.sort_by_key(|request| request.arm);
        for of_arm in block.chunk_by(|one, next| one.arm == next.arm) {
            take(of_arm);
        }
        block.clear();
    };
    let joined = join(source, |request| {
        if let Some(table) = &mut table {
            table.push(request)?;
        }
        if block
            .first()
            .is_some_and(|first| first.block != request.block)
        {
            take(&mut block);
        }
        block.push(*request);
        Ok(())
    });
    let output = joined.context("cannot join records to requests")?;
    take(&mut block);
    Ok(output)
}

/// Adds a block to the budget of its arm.
pub fn add_to_budgets(
    budgets: &mut BTreeMap<u16, BudgetCollector>,
    block: &[JoinedRequest],
    trim: Trim,
) {
    if let Some(first) = block.first() {
        let budget = budgets.entry(first.arm);
        budget
            .or_insert_with(|| BudgetCollector::new(trim))
            .add(block);
    }
}

/// Whether the load generator of the run in this folder had that clock too; `None` if nobody knows.
pub fn one_clock(servers: Option<&Clock>, load: &RunDirectory) -> runlog::Result<Option<bool>> {
    // A run that was cut off has none.
    if !load.load_summary().exists() {
        return Ok(None);
    }
    let summary: LoadSummary = json::read(&load.load_summary())?;
    let clocks = servers.zip(summary.clock.as_ref());
    Ok(clocks.map(|(servers, load)| servers == load))
}

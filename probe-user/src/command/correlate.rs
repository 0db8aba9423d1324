//! `probe-user correlate`: joins the records of a finished run to its requests, again; or the records of a
//! trace to the requests of a load generator that somebody else has started.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, bail};
use clap::Args;
use runlog::correlation::{Correlation, SCHEMA};
use runlog::manifest::Manifest;
use runlog::record::JoinedRequest;
use runlog::summary::LoadSummary;
use runlog::table::TableWriter;
use runlog::trace::Trace;
use runlog::{RunDirectory, json};
use stats::Trim;

use crate::command::End;
use crate::command::options::Output;
use crate::show;
use verdict::join::{Grouping, JoinOutput, Source, Window};
use verdict::logs::{add_to_budgets, join_blocks, one_clock, read_logs};

/// Options of `correlate`.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  probe-user correlate runs/bench-20261125T120000Z
  probe-user correlate spans/ --requests runs/load-20261125T120000Z --arm hooked --out joined.npy")]
pub struct CorrelateArguments {
    /// Folder of a run; with --requests, of a trace with --events
    #[arg(value_name = "RUN")]
    run: PathBuf,

    /// Folder of the load generator that sent requests while the trace went on
    #[arg(long, value_name = "DIR")]
    requests: Option<PathBuf>,

    /// Its arm whose server was traced; not needed where there is but one
    #[arg(long, value_name = "NAME", requires = "requests")]
    arm: Option<String>,

    /// Write the joined requests to this file, as joined.npy of a run
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,

    /// Share of a block's requests, sorted by response time, left out at each end of the budget
    #[arg(long, default_value_t = Trim::USUAL, value_name = "SHARE")]
    trim: Trim,

    #[command(flatten)]
    output: Output,
}

/// Joins.
pub fn correlate(arguments: &CorrelateArguments) -> anyhow::Result<End> {
    let spans = RunDirectory::existing(&arguments.run);
    match &arguments.requests {
        Some(folder) => {
            let load = RunDirectory::existing(folder);
            correlate_trace(arguments, spans, load)
        }
        None => correlate_run(arguments, &spans),
    }
}

fn correlate_run(arguments: &CorrelateArguments, run: &RunDirectory) -> anyhow::Result<End> {
    let manifest: Manifest = json::read(&run.manifest()).with_context(|| {
        format!(
            "{} is not the folder of a run; for the records of a trace, --requests names those of the \
             load generator",
            arguments.run.display()
        )
    })?;
    if manifest.probes.is_none() {
        bail!(
            "{} was made without probes: there is nothing to join",
            arguments.run.display()
        );
    }
    let trim = arguments.trim;
    let table = arguments.table()?;
    let logged = read_logs(run, &manifest, trim, table).inspect_err(|_| arguments.discard())?;
    let name = |arm: u16| {
        manifest
            .arms
            .get(usize::from(arm))
            .map(|arm| arm.name.as_str())
    };
    let budgets = logged
        .budgets
        .into_iter()
        .filter_map(|(arm, budget)| budget.finish(name(arm)?))
        .collect();
    arguments.print(&Correlation {
        schema: SCHEMA.to_owned(),
        cut_short: logged.cut_short,
        join: logged.join.unwrap_or_default(),
        budgets,
    })
}

fn correlate_trace(
    arguments: &CorrelateArguments,
    spans: RunDirectory,
    load: RunDirectory,
) -> anyhow::Result<End> {
    let trace: Trace = json::read(&spans.trace()).with_context(|| {
        format!(
            "{} is not the folder of a trace with --events",
            arguments.run.display()
        )
    })?;
    let summary: LoadSummary = json::read(&load.load_summary()).with_context(|| {
        format!(
            "{} is not the folder of a load generator's run (--requests)",
            load.root().display()
        )
    })?;
    let arm = arm_number(&summary, arguments.arm.as_deref())?;
    let source = Source {
        one_clock: one_clock(trace.clock.as_ref(), &load),
        load,
        spans,
        grouping: Grouping::All,
        wants: &|other, _| other == arm,
        window: Window {
            from_ns: trace.attached_ns,
            until_ns: trace.detached_ns.unwrap_or(u64::MAX),
        },
    };
    let trim = arguments.trim;
    let mut table = arguments.table()?;
    let mut budgets = BTreeMap::new();
    let joined = join_blocks(&source, table.as_mut(), |block| {
        add_to_budgets(&mut budgets, block, trim);
    });
    let JoinOutput { join, cut_short } = joined.inspect_err(|_| arguments.discard())?;
    if let Some(table) = table {
        table.finish()?;
    }
    let name = summary.arms.get(usize::from(arm)).map(|arm| &arm.name);
    let budget = budgets.remove(&arm).zip(name);
    arguments.print(&Correlation {
        schema: SCHEMA.to_owned(),
        cut_short,
        join,
        budgets: budget
            .and_then(|(budget, name)| budget.finish(name))
            .into_iter()
            .collect(),
    })
}

fn arm_number(summary: &LoadSummary, name: Option<&str>) -> anyhow::Result<u16> {
    let names: Vec<&str> = summary.arms.iter().map(|arm| arm.name.as_str()).collect();
    let index = match name {
        Some(name) => names
            .iter()
            .position(|other| *other == name)
            .with_context(|| {
                format!(
                    "--arm {name}: the load generator's arms are {}",
                    show::list(&names)
                )
            })?,
        None if names.len() == 1 => 0,
        None => bail!(
            "--arm is needed: the load generator's arms are {}",
            show::list(&names)
        ),
    };
    u16::try_from(index).context("too many arms")
}

impl CorrelateArguments {
    /// The file of `--out`.
    fn table(&self) -> anyhow::Result<Option<TableWriter<JoinedRequest>>> {
        let table = self.out.as_ref().map(TableWriter::create);
        table.transpose().context("cannot write --out")
    }

    /// Removes the file of `--out` again: the join came to nothing.
    fn discard(&self) {
        if let Some(file) = &self.out {
            let _ = fs::remove_file(file);
        }
    }

    fn print(&self, correlation: &Correlation) -> anyhow::Result<End> {
        self.output.print(correlation, |correlation| {
            for budget in &correlation.budgets {
                show::budget::print(budget);
            }
            show::join(&correlation.join);
        })?;
        if correlation.cut_short {
            eprintln!("probe-user: a log was cut short; its complete rows were joined");
            return Ok(End::CutShort);
        }
        Ok(End::Complete)
    }
}

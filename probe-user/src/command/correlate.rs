//! `probe-user correlate`: joins the records of a finished run to its requests, again; or the records of a
//! trace to the requests of a load generator that somebody else has started.

use std::path::PathBuf;

use anyhow::{Context as _, bail};
use clap::Args;
use runlog::analysis::Join;
use runlog::manifest::Manifest;
use runlog::record::JoinedRequest;
use runlog::summary::LoadSummary;
use runlog::table::TableWriter;
use runlog::trace::Trace;
use runlog::{RunDirectory, json};

use crate::analysis::logs::one_clock;
use crate::command::End;
use crate::join::{Grouping, JoinOutput, Source, Window, join};
use crate::show;

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

    /// Print the counts as JSON
    #[arg(long)]
    json: bool,
}

/// Joins.
pub fn correlate(arguments: &CorrelateArguments) -> anyhow::Result<End> {
    let spans = RunDirectory::existing(&arguments.run);
    match &arguments.requests {
        Some(folder) => {
            let load = RunDirectory::existing(folder);
            correlate_trace(arguments, spans, load)
        }
        None => correlate_run(arguments, spans),
    }
}

fn correlate_run(arguments: &CorrelateArguments, run: RunDirectory) -> anyhow::Result<End> {
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
    let is_hooked = |arm: u16| {
        let arm = manifest.arms.get(usize::from(arm));
        arm.is_some_and(|arm| arm.hook.is_some())
    };
    let source = Source {
        one_clock: one_clock(manifest.clock.as_ref(), &run),
        load: run.clone(),
        spans: run,
        grouping: Grouping::Block,
        wants: &|arm, observed| observed && is_hooked(arm),
        window: Window::ALWAYS,
    };
    join_and_print(arguments, &source)
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
    join_and_print(arguments, &source)
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

fn join_and_print(arguments: &CorrelateArguments, source: &Source<'_>) -> anyhow::Result<End> {
    let mut table: Option<TableWriter<JoinedRequest>> = arguments
        .out
        .as_ref()
        .map(TableWriter::create)
        .transpose()
        .context("cannot write --out")?;
    let joined = join(source, |request| {
        if let Some(table) = &mut table {
            table.push(request)?;
        }
        Ok(())
    });
    if joined.is_err()
        && let Some(file) = &arguments.out
    {
        let _ = std::fs::remove_file(file);
    }
    let JoinOutput { join, cut_short } = joined.context("cannot join records to requests")?;
    if let Some(table) = table {
        table.finish()?;
    }
    print(arguments, &join)?;
    if cut_short {
        eprintln!("probe-user: a log of this run was cut short; its complete rows were joined");
        return Ok(End::CutShort);
    }
    Ok(End::Complete)
}

fn print(arguments: &CorrelateArguments, join: &Join) -> anyhow::Result<()> {
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(join)?);
    } else {
        show::join(join);
    }
    Ok(())
}

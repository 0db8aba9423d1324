//! `probe-user analyze`: compares arms that were recorded, here or elsewhere.

use std::convert::Infallible;
use std::path::PathBuf;

use anyhow::{Context as _, bail};
use clap::{Args, ValueEnum};
use runlog::comparison::Method;

use crate::command::options::Output;
use crate::command::{End, moved};
use crate::show;
use verdict::recorded::RecordedArm;
use verdict::recorded::compare::{Choices, compare};
use verdict::recorded::read::{ArmSource, Wanted, read, read_run};

/// Options of `analyze`.
#[derive(Args, Debug)]
#[command(
    override_usage = "probe-user analyze [OPTIONS] <RUN>\n       \
                      probe-user analyze [OPTIONS] --arm <NAME=FILE> --arm <NAME=FILE>...",
    after_help = "\
FILE is the folder of a run (its arm NAME, or RUN:ARM), a CSV with the columns start_time,response_time in
seconds since 1970 and milliseconds, or an HDR interval log (.hlog, its intervals without a tag; FILE:TAG for
those with one). Of a run, requests with the probes detached are compared.

Examples:
  probe-user analyze runs/bench-20261125T101500Z
  probe-user analyze --arm without=a.csv --arm with=b.csv
  probe-user analyze --arm without=a.csv --arm with=b.csv --method paper --warmup 4000 --json
  probe-user analyze --arm baseline=runs/monday --arm tuesday=runs/tuesday:baseline
  probe-user analyze --arm get=a.hlog:GET --arm post=a.hlog:POST --hlog-unit us"
)]
pub struct AnalyzeArguments {
    /// Folder of a run, all of whose arms are compared with its first
    #[arg(
        value_name = "RUN",
        conflicts_with = "arm",
        required_unless_present = "arm"
    )]
    run: Option<PathBuf>,

    /// An arm and where it is recorded; give several, the first is the baseline
    #[arg(long, value_name = "NAME=FILE", value_parser = arm_source)]
    arm: Vec<ArmSource>,

    /// How to compare
    #[arg(long, value_enum, default_value_t = MethodChoice::Blocks)]
    method: MethodChoice,

    /// First requests of each arm to leave out [default: found by change of level in a CSV; what the
    /// run left out; none with --method paper]
    #[arg(long, value_name = "N")]
    warmup: Option<usize>,

    /// Blocks to cut each CSV into [default: 40, fewer if they would be short]
    #[arg(long, value_name = "N", value_parser = block_count)]
    blocks: Option<usize>,

    #[arg(long, hide = true, value_name = "SHARE", value_parser = moved::refuse_trim)]
    trim: Option<Infallible>,

    /// Unit of the values of HDR logs that hookprobe did not write
    #[arg(long, value_enum, value_name = "UNIT")]
    hlog_unit: Option<HlogUnit>,

    #[command(flatten)]
    output: Output,
}

/// How to compare arms.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum MethodChoice {
    /// By blocks, with t and the block bootstrap
    Blocks,
    /// By requests, with Student's t, as the paper did
    Paper,
}

/// Unit of the values of an HDR log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum HlogUnit {
    /// Nanoseconds
    Ns,
    /// Microseconds
    Us,
    /// Milliseconds
    Ms,
}

impl HlogUnit {
    fn ns(self) -> f64 {
        match self {
            Self::Ns => 1.0,
            Self::Us => 1e3,
            Self::Ms => 1e6,
        }
    }
}

fn arm_source(text: &str) -> Result<ArmSource, String> {
    match text.split_once('=') {
        Some((name, place)) if !name.is_empty() && !place.is_empty() => Ok(ArmSource {
            name: name.to_owned(),
            place: place.to_owned(),
        }),
        _ => Err("expected NAME=FILE, as in baseline=a.csv".to_owned()),
    }
}

fn block_count(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(count) if count >= 2 => Ok(count),
        _ => Err("expected a number of at least 2".to_owned()),
    }
}

/// Compares.
pub fn analyze(arguments: &AnalyzeArguments) -> anyhow::Result<End> {
    let method = match arguments.method {
        MethodChoice::Blocks => Method::Blocks,
        MethodChoice::Paper => Method::Paper,
    };
    if method == Method::Paper && arguments.blocks.is_some() {
        bail!("--blocks: --method paper has no blocks");
    }
    let by_requests = method == Method::Paper;
    let wanted = Wanted {
        warmup: by_requests,
        file_order: by_requests,
        foreign_unit_ns: arguments.hlog_unit.map(HlogUnit::ns),
    };
    let arms = match &arguments.run {
        Some(folder) => read_run(folder, wanted.warmup)?,
        None => read_all(&arguments.arm, wanted)?,
    };
    let choices = Choices {
        method,
        warmup: arguments.warmup,
        blocks: arguments.blocks,
    };
    let comparisons = compare(arms, choices)?;
    arguments
        .output
        .print(&comparisons, show::comparison::print)?;
    Ok(End::Complete)
}

/// Reads arms, which must have different names.
fn read_all(sources: &[ArmSource], wanted: Wanted) -> anyhow::Result<Vec<RecordedArm>> {
    if sources.len() < 2 {
        bail!("there is one arm; give another with --arm NAME=FILE to compare it with");
    }
    for (index, source) in sources.iter().enumerate() {
        if sources[..index]
            .iter()
            .any(|other| other.name == source.name)
        {
            bail!(
                "--arm {}: two arms have this name; give each its own",
                source.name
            );
        }
    }
    let arms = sources
        .iter()
        .map(|source| read(source, wanted).with_context(|| format!("arm {}", source.name)));
    arms.collect()
}

//! `probe-user report`: draws a run up for people, and for other programs.

use std::convert::Infallible;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow, bail};
use clap::error::ErrorKind;
use clap::{Args, Command};
use cli::{out, outln};
use report::export::{plots, table, trace};
use report::page;
use report::run::Run;
use runlog::analysis::Analysis;
use runlog::manifest::Manifest;
use runlog::{RunDirectory, file};

use crate::command::settings::{comparisons, setting, side_by_side};
use crate::command::{End, moved};
use crate::show;
use verdict::recorded::read::manifest;

/// Options of `report`.
#[derive(Args, Debug)]
#[command(after_help = "\
Without an option, report.html is written into the folder of the run; bench has done that. Of several runs it is \
written here, and they are printed side by side: within each, every arm is compared with the first, by blocks. \
Runs are not tested against each other: they differ in more than the setting.

Examples:
  probe-user report runs/bench-20261125T101500Z
  probe-user report runs/docker runs/kind runs/eks-pod --out settings.html
  probe-user report runs/* --json
  probe-user report runs/bench-20261125T101500Z --svg plots/ --trace slowest.json
  probe-user report runs/docker runs/kind --markdown")]
pub struct ReportArguments {
    /// Folders of runs
    #[arg(value_name = "RUN", required = true)]
    runs: Vec<PathBuf>,

    /// Write the page to this file
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,

    /// Write each plot to this folder, as an SVG file that stands alone
    #[arg(long, value_name = "DIR")]
    svg: Option<PathBuf>,

    /// Print all estimates as CSV
    #[arg(long, conflicts_with = "markdown")]
    csv: bool,

    /// Print all estimates as a table of Markdown
    #[arg(long)]
    markdown: bool,

    /// Write the slowest requests to this file, as a trace that ui.perfetto.dev opens
    #[arg(long, value_name = "FILE")]
    trace: Option<PathBuf>,

    /// Requests of the trace
    #[arg(long, default_value_t = 1_000, value_name = "N", requires = "trace",
        value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    slowest: u32,

    /// Print the comparison of each run's arms as JSON, and write nothing
    #[arg(long, conflicts_with_all = ["out", "svg", "csv", "markdown", "trace"])]
    json: bool,

    #[arg(long, hide = true, value_name = "SHARE", value_parser = moved::refuse_trim)]
    trim: Option<Infallible>,
}

impl ReportArguments {
    /// Whether something else than the page is asked for.
    fn exports(&self) -> bool {
        self.csv || self.markdown || self.svg.is_some() || self.trace.is_some()
    }
}

/// Ends the process if the options do not go with the number of runs, which clap cannot know.
fn check(arguments: &ReportArguments) {
    let fault = match arguments.runs.len() {
        2.. if arguments.trace.is_some() => "--trace goes with one run",
        _ => return,
    };
    let mut command = ReportArguments::augment_args(Command::new("probe-user report"));
    command.error(ErrorKind::ArgumentConflict, fault).exit()
}

/// Writes the page and what else is asked for; of several runs, prints the comparison.
pub fn report(arguments: &ReportArguments) -> anyhow::Result<End> {
    check(arguments);
    if arguments.json {
        print_json(&arguments.runs)?;
        return Ok(End::Complete);
    }
    let runs = arguments.runs.iter().map(|folder| read(folder));
    let runs: Vec<Run> = runs.collect::<anyhow::Result<_>>()?;
    if arguments.out.is_some() || !arguments.exports() {
        let path = page_of(arguments.out.as_deref(), &runs)?;
        outln!("{}", path.display());
    }
    if let Some(folder) = &arguments.svg {
        for (name, plot) in plots::plots(&runs) {
            write(&folder.join(name), plot.as_bytes())?;
        }
    }
    if let (Some(path), [run]) = (&arguments.trace, &*runs) {
        write_trace(run, path, arguments.slowest)?;
    }
    if arguments.csv {
        out!("{}", table::csv(&runs)?);
    }
    if arguments.markdown {
        out!("{}", table::markdown(&runs));
    }
    let mut end = End::Complete;
    for run in &runs {
        if let Err(why) = &run.analysis {
            eprintln!("probe-user: {}: {why}", run.directory.root().display());
            end = End::CutShort;
        }
    }
    if runs.len() > 1 && !arguments.exports() {
        print_comparison(runs)?;
    }
    Ok(end)
}

/// Prints the comparison of the runs' arms, for which nothing else of the runs is read.
fn print_json(folders: &[PathBuf]) -> anyhow::Result<()> {
    let settings = folders.iter().map(|folder| {
        let compared = comparisons(folder)
            .and_then(|comparisons| Ok(setting(folder, manifest(folder)?, comparisons)));
        compared.with_context(|| format!("run {}", folder.display()))
    });
    let settings = side_by_side(settings)?;
    outln!("{}", serde_json::to_string_pretty(&settings)?);
    Ok(())
}

/// The same, of runs that have been read, as a table.
fn print_comparison(runs: Vec<Run>) -> anyhow::Result<()> {
    let settings = runs.into_iter().map(|run| {
        let folder = run.directory.root();
        let compared = run.comparisons.map_err(|why| anyhow!(why));
        let compared = compared.with_context(|| format!("run {}", folder.display()))?;
        Ok(setting(folder, run.manifest, compared))
    });
    show::comparison::settings(&side_by_side(settings)?);
    Ok(())
}

/// Writes the page; says where.
fn page_of(out: Option<&Path>, runs: &[Run]) -> anyhow::Result<PathBuf> {
    let (text, place) = match runs {
        [run] => (page::one(run), run.directory.report()),
        several => (page::several(several), PathBuf::from("report.html")),
    };
    let path = out.map_or(place, Path::to_owned);
    write(&path, text.as_bytes())?;
    Ok(path)
}

fn write_trace(run: &Run, path: &Path, slowest: u32) -> anyhow::Result<()> {
    let folder = run.directory.root().display();
    let most = usize::try_from(slowest)?;
    let trace = trace::trace(run, most)
        .with_context(|| format!("{folder} has no requests that were joined to their reads"))?;
    write(path, &serde_json::to_vec(&trace)?)?;
    let about = &trace.about;
    if about.left_out > 0 {
        eprintln!(
            "probe-user: the trace has the {} slowest of {} joined requests; --slowest N takes more",
            about.requests, about.joined_requests
        );
    }
    if about.incomplete > 0 {
        eprintln!(
            "probe-user: of {} requests of the trace not everything was found again in the logs",
            about.incomplete
        );
    }
    Ok(())
}

/// Writes the page of a run into its folder. Manifest and analysis are not read again.
pub fn write_page_of(
    directory: &RunDirectory,
    manifest: &Manifest,
    analysis: &Analysis,
) -> anyhow::Result<()> {
    let (manifest, analysis) = (manifest.clone(), Ok(analysis.clone()));
    let run = Run::with(directory.clone(), manifest, analysis);
    write(&directory.report(), page::one(&run).as_bytes())
}

fn read(folder: &Path) -> anyhow::Result<Run> {
    if !folder.is_dir() {
        bail!("{}: there is no such folder", folder.display());
    }
    Run::read(folder)
        .with_context(|| format!("{} is not the folder of a run to be read", folder.display()))
}

fn write(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    if let Some(folder) = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
    {
        fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    }
    file::replace(path, bytes).with_context(|| path.display().to_string())
}

//! What runs have left in their folders.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use runlog::live::Progress;
use runlog::load_api::{FileKind, NamedUrl, Run, RunFile, RunState};
use runlog::summary::LoadSummary;
use runlog::{RunDirectory, json};

/// The runs in a folder that have a summary. A folder that is not there has none.
pub fn read(folder: &Path) -> anyhow::Result<Vec<Run>> {
    if !folder.exists() {
        return Ok(Vec::new());
    }
    let entries = fs::read_dir(folder)
        .with_context(|| format!("cannot read the folder {} (--runs)", folder.display()))?;
    let mut runs = Vec::new();
    for entry in entries {
        let path = entry?.path();
        let Some(id) = path.file_name().and_then(|name| name.to_str()) else {
            continue;
        };
        let file = RunDirectory::existing(&path).load_summary();
        if !file.is_file() {
            continue;
        }
        match json::read::<LoadSummary>(&file) {
            Ok(summary) => runs.push(of_before(id, &path, summary)),
            Err(error) => eprintln!("loadgen serve: not shown: {:#}", anyhow::Error::from(error)),
        }
    }
    Ok(runs)
}

fn of_before(id: &str, folder: &Path, summary: LoadSummary) -> Run {
    let arms = summary.arms.iter().map(|arm| NamedUrl {
        name: arm.name.clone(),
        url: arm.url.clone(),
    });
    Run {
        id: id.to_owned(),
        state: if summary.cut_short.is_none() {
            RunState::Complete
        } else {
            RunState::CutShort
        },
        reason: summary.cut_short.clone(),
        arms: arms.collect(),
        planned_requests: None,
        schedule: summary.schedule.clone(),
        started_unix_ns: summary.started_unix_ns,
        files: files(folder, &summary),
        summary: Some(summary),
    }
}

/// What can be downloaded of a run. Names of arms have no slash.
pub fn files(folder: &Path, summary: &LoadSummary) -> Vec<RunFile> {
    let run = RunDirectory::existing(folder);
    let mut candidates = vec![(run.load_summary(), FileKind::Summary, None)];
    for arm in &summary.arms {
        let name = Some(arm.name.clone());
        candidates.push((run.paper_csv(&arm.name), FileKind::Csv, name.clone()));
        candidates.push((run.interval_log(&arm.name), FileKind::Hlog, name));
    }
    candidates.push((run.requests(), FileKind::Requests, None));
    candidates.push((run.client_connections(), FileKind::Connections, None));
    let described = candidates
        .into_iter()
        .filter_map(|(path, kind, arm)| describe(&path, kind, arm));
    described.collect()
}

fn describe(path: &Path, kind: FileKind, arm: Option<String>) -> Option<RunFile> {
    let metadata = fs::metadata(path).ok()?;
    Some(RunFile {
        name: path.file_name()?.to_str()?.to_owned(),
        kind,
        arm,
        bytes: metadata.len(),
    })
}

/// Where the intervals of a run are kept: one JSON object a line.
fn progress_file(folder: &Path) -> PathBuf {
    folder.join("progress.jsonl")
}

/// The intervals of a run that is over. None where the run was not made by a server.
pub fn read_progress(folder: &Path) -> Vec<Progress> {
    let text = fs::read_to_string(progress_file(folder)).unwrap_or_default();
    // A server that was killed may have left half a line.
    text.lines()
        .map_while(|line| serde_json::from_str(line).ok())
        .collect()
}

/// Keeps the intervals of a run.
#[derive(Debug)]
pub struct ProgressLog {
    file: Option<File>,
}

impl ProgressLog {
    /// A new log in the folder of a run. Where it cannot be written, that is said, once: the run goes on.
    pub fn create(folder: &Path) -> Self {
        let file = File::create_new(progress_file(folder));
        Self {
            file: file.map_err(|error| complain(&error)).ok(),
        }
    }

    /// Adds an interval.
    pub fn push(&mut self, progress: &Progress) {
        let Some(file) = &mut self.file else {
            return;
        };
        let written = serde_json::to_vec(progress)
            .map_err(std::io::Error::from)
            .and_then(|mut line| {
                line.push(b'\n');
                file.write_all(&line)
            });
        if let Err(error) = written {
            complain(&error);
            self.file = None;
        }
    }
}

fn complain(error: &std::io::Error) {
    eprintln!("loadgen serve: the course of the run is not kept: {error}");
}

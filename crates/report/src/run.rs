//! What is read of a run's folder. A part that is not there, or cannot be read, is missing with a reason; the others
//! are shown all the same.

use std::io::ErrorKind;
use std::path::Path;

use runlog::analysis::Analysis;
use runlog::comparison::Comparisons;
use runlog::manifest::Manifest;
use runlog::micro::MicroReport;
use runlog::summary::LoadSummary;
use runlog::{Error, Result, RunDirectory, json};

use verdict::blocks::{Blocks, Reading};
use verdict::recorded::compare::{Choices, compare};
use verdict::recorded::read::arms_of;
use verdict::threshold;

use crate::data::distribution::{Distribution, distributions};
use crate::data::requests::{Requests, requests};

/// A part of a run, or why it is missing.
pub type Part<T> = std::result::Result<T, String>;

/// A run, as far as its folder has it.
#[derive(Debug)]
pub struct Run {
    /// The folder.
    pub directory: RunDirectory,
    /// How it was set up.
    pub manifest: Manifest,
    /// What came out.
    pub analysis: Part<Analysis>,
    /// The load generator's summary.
    pub load: Part<LoadSummary>,
    /// The ladder, if someone put one there.
    pub ladder: Part<MicroReport>,
    /// Each arm against the first, means and quantiles.
    pub comparisons: Part<Comparisons>,
    /// What the request log holds.
    pub requests: Part<Requests>,
    /// How response times are distributed, by arm.
    pub distributions: Part<Vec<Distribution>>,
}

impl Run {
    /// Reads a folder, each file once.
    ///
    /// # Errors
    /// Without a manifest that can be read it is no folder of a run.
    pub fn read(folder: &Path) -> Result<Self> {
        let directory = RunDirectory::existing(folder);
        let manifest: Manifest = json::read(&directory.manifest())?;
        let analysis = part(json::read(&directory.analysis()), not_analysed(&manifest));
        Ok(Self::with(directory, manifest, analysis))
    }

    /// Reads what a folder has beside manifest and analysis, which are known.
    pub fn with(directory: RunDirectory, manifest: Manifest, analysis: Part<Analysis>) -> Self {
        let reading = Reading {
            threshold_ns: threshold_ns(&directory, &manifest, analysis.as_ref().ok()),
            with_warmup: false,
            with_times: true,
        };
        let log = part(
            Blocks::read(&directory, &manifest.schedule, reading),
            "there is no request log",
        );
        let compared = |log: &Blocks| {
            arms_of(directory.root(), &manifest, log)
                .and_then(|arms| compare(arms, Choices::BY_BLOCKS))
                .map_err(|error| format!("{error:#}"))
        };
        Self {
            analysis,
            load: part(
                json::read(&directory.load_summary()),
                "the load generator did not come to its end",
            ),
            ladder: part(
                json::read(&directory.micro()),
                "the rungs of the hook were not measured with this run",
            ),
            comparisons: log.as_ref().map_err(Clone::clone).and_then(compared),
            requests: log.map(|log| requests(&log, &manifest)),
            distributions: distributions(
                &directory,
                manifest.arms.iter().map(|arm| arm.name.as_str()),
            ),
            manifest,
            directory,
        }
    }

    /// The analysis, if there is one.
    pub fn analysed(&self) -> Option<&Analysis> {
        self.analysis.as_ref().ok()
    }

    /// The folder's own name.
    pub fn name(&self) -> String {
        let root = self.directory.root();
        let absolute = root.canonicalize();
        let path = absolute.as_deref().unwrap_or(root);
        path.file_name()
            .unwrap_or(path.as_os_str())
            .to_string_lossy()
            .into_owned()
    }

    /// The part that an arm plays in drawings.
    pub fn arm(&self, name: &str) -> usize {
        let mut arms = self.manifest.arms.iter();
        arms.position(|arm| arm.name == name).unwrap_or(0)
    }
}

/// Why a run may have no analysis.
fn not_analysed(manifest: &Manifest) -> &'static str {
    if manifest.ended == "running" {
        "the run is going on, or was killed before it came to its end"
    } else {
        "this kind of run has none (bench makes one)"
    }
}

/// A part; without its file, missing for the reason given.
fn part<T>(read: Result<T>, absent: &str) -> Part<T> {
    read.map_err(|error| match &error {
        Error::Io { path, source } if source.kind() == ErrorKind::NotFound => {
            let file = path.file_name().unwrap_or_default().to_string_lossy();
            format!("no {file}: {absent}")
        }
        other => said(other),
    })
}

/// An error with its source.
pub(crate) fn said(error: &Error) -> String {
    match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

/// Where response times were split in the analysis of a run, or are now: runs of earlier versions were not.
fn threshold_ns(directory: &RunDirectory, manifest: &Manifest, analysis: Option<&Analysis>) -> f64 {
    let of_analysis = analysis.and_then(|analysis| {
        let of_trial = analysis.trial.as_ref().and_then(|trial| trial.threshold_ns);
        of_trial.or(analysis.macro_.threshold_ns)
    });
    // That the log cannot be read is told by who reads it.
    let of_log = || threshold::of_blocks(directory, manifest.arms.len()).ok()?;
    of_analysis.or_else(of_log).unwrap_or(f64::INFINITY)
}

#[cfg(test)]
pub(crate) mod tests {
    use runlog::manifest::{self, Arm, Environment, Placement, Schedule};
    use runlog::record::Request;
    use runlog::table::TableWriter;

    use super::*;

    /// A manifest of three arms.
    pub(crate) fn manifest() -> Manifest {
        let arm = |name: &str| Arm {
            name: name.to_owned(),
            role: None,
            url: String::new(),
            pids: Vec::new(),
            hook: None,
            hook_environment: Vec::new(),
            hook_functions: Vec::new(),
        };
        Manifest {
            schema: manifest::SCHEMA.to_owned(),
            version: "0".to_owned(),
            command: vec!["probe-user".to_owned(), "bench".to_owned()],
            started_unix_ns: 0,
            started_monotonic_ns: 0,
            clock: None,
            ended: "running".to_owned(),
            environment: Environment::default(),
            placement: Placement::default(),
            arms: ["baseline", "baseline-2", "hooked"].map(arm).to_vec(),
            schedule: Schedule {
                order: runlog::Order::Rmit,
                seed: 7,
                connections: 1,
                requests_per_cell: 100,
                blocks_per_cell: 2,
                servers_per_arm: 1,
                warmup_requests: 0,
                block_warmup_requests: 0,
                trial: None,
            },
            probes: None,
            resources: None,
            doctor: None,
            calibration: None,
        }
    }

    /// The folder of a run that was killed: a manifest, and the requests of some blocks.
    pub(crate) fn half_a_run(blocks: u32) -> (tempfile::TempDir, Run) {
        let folder = tempfile::tempdir().unwrap();
        let directory = RunDirectory::existing(folder.path());
        json::write(&directory.manifest(), &manifest()).unwrap();
        let mut log = TableWriter::create(directory.requests()).unwrap();
        for block in 0..blocks {
            for number in 0..50 {
                let sequence = u64::from(block * 50 + number);
                log.push(&Request {
                    sequence,
                    arm: u16::try_from(block % 3).unwrap(),
                    block,
                    flags: if block == 0 { Request::WARMUP } else { 0 },
                    planned_ns: 1_000_000 * sequence,
                    sent_ns: 1_000_000 * sequence,
                    done_ns: 1_000_000 * sequence + 20_000 + 10 * u64::from(number),
                    ..Request::default()
                })
                .unwrap();
            }
        }
        log.finish().unwrap();
        let run = Run::read(folder.path()).unwrap();
        (folder, run)
    }

    #[test]
    fn what_is_not_there_is_missing_with_a_reason() {
        let (_folder, run) = half_a_run(4);
        let why = run.analysis.as_ref().unwrap_err();
        assert!(
            why.contains("analysis.json") && why.contains("killed"),
            "{why}"
        );
        assert!(
            run.distributions
                .as_ref()
                .is_err_and(|why| why.contains("HDR log"))
        );
        let requests = run.requests.as_ref().unwrap();
        assert_eq!(requests.blocks.len(), 4);
        assert!(requests.blocks[0].warmup && !requests.blocks[3].warmup);
        // Both blocks of the first arm were answered alike; the one that is warm-up is in no box.
        assert_eq!(requests.arms[0].box_.unwrap().n, 50);
    }

    #[test]
    fn a_folder_without_a_manifest_is_no_run() {
        let folder = tempfile::tempdir().unwrap();
        let error = Run::read(folder.path()).unwrap_err();
        assert!(error.to_string().contains("manifest.json"), "{error}");
    }

    #[test]
    fn a_part_that_cannot_be_read_is_missing_and_the_others_are_shown() {
        let (folder, _) = half_a_run(4);
        std::fs::write(folder.path().join("analysis.json"), "{\"schema\": 3").unwrap();
        std::fs::write(folder.path().join("hooked.hlog"), "no log\n").unwrap();
        let run = Run::read(folder.path()).unwrap();
        assert!(
            run.analysis
                .as_ref()
                .is_err_and(|why| why.contains("analysis.json"))
        );
        assert!(
            run.distributions
                .as_ref()
                .is_err_and(|why| why.contains("hooked.hlog"))
        );
        let page = crate::page::one(&run);
        assert!(page.contains("This run has no result.") && page.contains("plot-blocks"));
    }
}

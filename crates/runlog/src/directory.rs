//! The files of a run directory.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::error::{Error, Result};

/// The folder that one run writes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunDirectory {
    root: PathBuf,
}

impl RunDirectory {
    /// Makes the folder, with its parents, for a new run. A folder that exists must be empty and
    /// writable.
    pub fn create(root: impl Into<PathBuf>) -> Result<Self> {
        let root = root.into();
        fs::create_dir_all(&root).map_err(Error::io(&root))?;
        let mut entries = fs::read_dir(&root).map_err(Error::io(&root))?;
        if entries.next().is_some() {
            return Err(Error::NotEmpty(root));
        }
        // Found out now, rather than after the measurement.
        let probe = root.join(".writable");
        fs::write(&probe, []).map_err(Error::io(&root))?;
        fs::remove_file(&probe).map_err(Error::io(&probe))?;
        Ok(Self { root })
    }

    /// Where a run goes when nobody says: `runs/KIND-YYYYMMDDTHHMMSSZ` in the current folder.
    pub fn default_root(kind: &str) -> PathBuf {
        let now = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
        PathBuf::from(format!("runs/{kind}-{}", now.replace(['-', ':'], "")))
    }

    /// The folder of a run that exists.
    pub fn existing(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// The folder itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// How the run was set up: [`crate::manifest::Manifest`].
    pub fn manifest(&self) -> PathBuf {
        self.root.join("manifest.json")
    }

    /// What came out: [`crate::analysis::Analysis`].
    pub fn analysis(&self) -> PathBuf {
        self.root.join("analysis.json")
    }

    /// The ladder of the hook, if it was put here: [`crate::micro::MicroReport`].
    pub fn micro(&self) -> PathBuf {
        self.root.join("micro.json")
    }

    /// The run for people.
    pub fn report(&self) -> PathBuf {
        self.root.join("report.html")
    }

    /// Injected against measured delays: [`crate::truth::Truth`].
    pub fn truth(&self) -> PathBuf {
        self.root.join("truth.json")
    }

    /// What was estimated before the injected delays were known: [`crate::truth::Blind`].
    pub fn truth_blind(&self) -> PathBuf {
        self.root.join("truth-blind.json")
    }

    /// How often macro intervals hold the truth: [`crate::truth::Coverage`].
    pub fn coverage(&self) -> PathBuf {
        self.root.join("coverage.json")
    }

    /// How often equal servers are told apart: [`crate::a_a::AaReport`].
    pub fn a_a(&self) -> PathBuf {
        self.root.join("a-a.json")
    }

    /// What a trace with records saw: [`crate::trace::Trace`].
    pub fn trace(&self) -> PathBuf {
        self.root.join("trace.json")
    }

    /// The load generator's summary: [`crate::summary::LoadSummary`].
    pub fn load_summary(&self) -> PathBuf {
        self.root.join("load.json")
    }

    /// One row a request: [`crate::record::Request`].
    pub fn requests(&self) -> PathBuf {
        self.root.join("requests.npy")
    }

    /// One row a connection of the load generator: [`crate::record::ClientConnection`].
    pub fn client_connections(&self) -> PathBuf {
        self.root.join("connections-client.npy")
    }

    /// One row a connection that a traced server accepted: [`crate::record::ServerConnection`].
    pub fn server_connections(&self) -> PathBuf {
        self.root.join("connections-server.npy")
    }

    /// One row a connection that a traced server closed: [`crate::record::ServerClose`].
    pub fn server_closes(&self) -> PathBuf {
        self.root.join("closes-server.npy")
    }

    /// One row a hooked read: [`crate::record::ReadSpan`].
    pub fn reads(&self) -> PathBuf {
        self.root.join("spans-read.npy")
    }

    /// One row a write on a traced connection: [`crate::record::WriteSpan`].
    pub fn writes(&self) -> PathBuf {
        self.root.join("spans-write.npy")
    }

    /// One row a block with the probes attached: [`crate::record::BlockReads`].
    pub fn block_reads(&self) -> PathBuf {
        self.root.join("block-reads.npy")
    }

    /// One row a `read(2)` of a traced process: [`crate::record::ReadSyscallSpan`].
    pub fn read_syscalls(&self) -> PathBuf {
        self.root.join("spans-read-syscall.npy")
    }

    /// One row a call of the traced function: [`crate::record::FunctionSpan`].
    pub fn functions(&self) -> PathBuf {
        self.root.join("spans-function.npy")
    }

    /// One row a call of a trial that was timed around the hook: [`crate::record::BracketedCall`].
    pub fn bracketed_calls(&self) -> PathBuf {
        self.root.join("bracketed-calls.npy")
    }

    /// What the servers of a trial counted: [`crate::trial::TrialCounts`].
    pub fn trial_counts(&self) -> PathBuf {
        self.root.join("trial-counts.json")
    }

    /// One row a joined request: [`crate::record::JoinedRequest`].
    pub fn joined(&self) -> PathBuf {
        self.root.join("joined.npy")
    }

    /// A run that an agent took part in: [`crate::agent_run::AgentRun`].
    pub fn agent_run(&self) -> PathBuf {
        self.root.join("agent-run.json")
    }

    /// What an agent recorded of an arm: a folder as of a trace.
    pub fn spans_of(&self, arm: &str) -> Self {
        Self {
            root: self.root.join("spans").join(arm),
        }
    }

    /// HDR interval log of an arm's response times.
    pub fn interval_log(&self, arm: &str) -> PathBuf {
        self.root.join(format!("{arm}.hlog"))
    }

    /// An arm's requests in the paper's CSV format.
    pub fn paper_csv(&self, arm: &str) -> PathBuf {
        self.root.join(format!("{arm}.csv"))
    }

    /// There when an arm's CSV is not of an open loop, although one was asked for: says why.
    pub fn not_open_loop(&self, arm: &str) -> PathBuf {
        self.root.join(format!("{arm}.not-open-loop.txt"))
    }

    /// What a process of the run said on stderr.
    pub fn process_log(&self, process: &str) -> PathBuf {
        self.root.join(format!("{process}.log"))
    }
}

/// Whether `name` can name an arm: it becomes part of file names and of JSON keys.
pub fn is_arm_name(name: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '+');
    (1..=64).contains(&name.len()) && !name.starts_with('.') && name.chars().all(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_run_takes_an_empty_folder_only() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("a/b");
        let run = RunDirectory::create(&root).unwrap();
        assert!(RunDirectory::create(&root).is_ok(), "still empty");
        fs::write(run.manifest(), "{}").unwrap();
        assert!(matches!(
            RunDirectory::create(&root),
            Err(Error::NotEmpty(_))
        ));
    }

    #[test]
    fn a_file_in_the_way_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "").unwrap();
        let error = RunDirectory::create(file.join("run")).unwrap_err();
        assert!(error.to_string().contains("file/run"), "{error}");
    }

    #[test]
    fn arm_names_are_safe_in_file_names() {
        for name in [
            "baseline",
            "baseline-2",
            "hooked",
            "delay_1000ns",
            "v1.2",
            "on+1000",
        ] {
            assert!(is_arm_name(name), "{name}");
        }
        for name in ["", ".", "..", "a/b", "a b", "ärm", &"x".repeat(65)] {
            assert!(!is_arm_name(name), "{name}");
        }
    }
}

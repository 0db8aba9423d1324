//! What observes while calls are timed: our probes, and other tools on the same calls.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use serde_json::Value;

use crate::running::Running;

/// What an observer prints at its end, that tells that it has seen the calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    /// JSON, with a count of the spans of this kind.
    Spans(&'static str),
    /// A histogram, in characters.
    Histogram,
    /// Nothing: its programs do nothing, not even count.
    None,
}

/// An observer.
#[derive(Clone, Debug)]
pub struct Observer {
    /// Name in tables.
    pub name: String,
    /// Whether it is ours: then its failure is the bench's. Where another fails, or is not installed, the table says so.
    pub is_ours: bool,
    /// What tells that it has worked.
    pub proof: Proof,
    /// The command; none where nothing observes.
    pub command: Vec<OsString>,
    /// The folder that it writes to, and that it wants empty.
    pub folder: Option<PathBuf>,
    /// What it prints once it is attached.
    pub says_when_attached: &'static str,
}

impl Observer {
    /// One of ours, or none without a command.
    pub fn ours(name: &str, proof: Proof, command: Vec<OsString>) -> Self {
        Self {
            name: name.to_owned(),
            is_ours: true,
            proof,
            command,
            folder: None,
            says_when_attached: "attached to",
        }
    }

    /// `probe-user trace`, which must see spans of this kind.
    pub fn trace(
        name: &str,
        kind: &'static str,
        probe_user: &Path,
        pid: u32,
        options: &[impl AsRef<OsStr>],
    ) -> Self {
        let fixed = ["trace", "--json", "--calibration-rounds", "0", "--pid"];
        let mut command = vec![probe_user.into()];
        command.extend(fixed.map(OsString::from));
        command.push(pid.to_string().into());
        command.extend(options.iter().map(|option| option.as_ref().to_owned()));
        Self::ours(name, Proof::Spans(kind), command)
    }

    /// Another tool, which prints a histogram.
    pub fn peer(name: &str, command: &[&str], says_when_attached: &'static str) -> Self {
        Self {
            is_ours: false,
            says_when_attached,
            ..Self::ours(
                name,
                Proof::Histogram,
                command.iter().map(Into::into).collect(),
            )
        }
    }

    /// bpftrace with these probes. What it prints goes out only when every probe is attached, whatever their order is.
    pub fn bpftrace(name: &str, pid: u32, probes: &str) -> Self {
        let script =
            format!("{probes} interval:ms:100 /!@said/ {{ @said = 1; printf(\"attached\\n\"); }}");
        let pid = pid.to_string();
        let command = ["bpftrace", "-B", "line", "-p", &pid, "-e", &script];
        Self::peer(name, &command, "attached")
    }

    /// Starts it, and waits until it has attached.
    pub fn start(&self) -> anyhow::Result<Running> {
        if let Some(folder) = &self.folder {
            fs::remove_dir_all(folder)
                .and_then(|()| fs::create_dir(folder))
                .with_context(|| format!("cannot empty {}", folder.display()))?;
        }
        Running::start(&self.command, self.says_when_attached)
    }

    /// Holds what it printed against the calls that were made: an observer that saw nothing has cost nothing, and its
    /// figure would be worthless.
    pub fn check(&self, stdout: &str, made: u64) -> anyhow::Result<()> {
        let kind = match self.proof {
            Proof::None => return Ok(()),
            Proof::Histogram => {
                ensure!(stdout.contains('|'), "printed no histogram");
                return Ok(());
            }
            Proof::Spans(kind) => kind,
        };
        let result: Value = serde_json::from_str(stdout).context("printed no JSON")?;
        let seen = &result["spans"][kind]["count"];
        ensure!(
            seen.as_u64().is_some_and(|seen| seen >= made),
            "has seen {seen} calls, and there were at least {made}"
        );
        Ok(())
    }
}

/// bpftrace's probe at the hook's site of reads, with a histogram.
pub fn at_read_done(hook: &Path) -> anyhow::Result<String> {
    Ok(format!(
        "usdt:{}:readhook:read_done {{ @overhead_ns = hist(arg4 - arg3); }}",
        hook.canonicalize().context("the hook's path")?.display()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_observer_must_have_seen_the_calls() {
        let check = |proof, stdout: &str| {
            let observer = Observer::ours("probes", proof, Vec::new());
            observer.check(stdout, 100).is_ok()
        };
        let seen = |count| format!("{{\"spans\":{{\"hook\":{{\"count\":{count}}}}}}}");
        let reads = Proof::Spans("hook");
        assert!(check(reads, &seen(100)));
        for wrong in [&*seen(99), "{}", ""] {
            assert!(!check(reads, wrong), "{wrong}");
        }
        assert!(!check(Proof::Spans("function"), &seen(100)));
        assert!(check(Proof::Histogram, "[64, 128)  100 |@@@@@|"));
        assert!(!check(Proof::Histogram, "Attaching 2 probes..."));
    }

    #[test]
    fn an_observer_finds_its_folder_empty() {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("records");
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("old"), "").unwrap();
        let script = format!(
            "trap 'exit 0' INT; echo attached; ls {}; while :; do sleep 0.01; done",
            folder.display()
        );
        let observer = Observer {
            folder: Some(folder),
            ..Observer::peer("shell", &["sh", "-c", &script], "attached")
        };
        let running = observer.start().unwrap();
        assert_eq!(running.stop().unwrap(), "attached\n");
    }
}

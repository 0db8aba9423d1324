//! A copy of the repository in namespaces of its own, in which the commands of one Markdown file are run.
//!
//! Network, processes and mounts are its own, so ports, `pidof` and `/var/lib/hookprobe` mean what the text means, and
//! nothing is left behind. It needs root, as most of the commands do.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail};

use super::repository::Repository;
use super::script::Script;
use crate::install;
use crate::kit::{Kit, output};

/// What is called by way of `program.sh`.
const PROGRAMS: [&str; 4] = ["probe-user", "loadgen", "redis-server", "your-server"];
/// What `stand_in.sh` stands in for.
const STAND_INS: [&str; 10] = [
    "cargo", "docker", "kubectl", "kind", "aws", "eksctl", "bpftrace", "apt-get", "git", "rustup",
];

#[derive(Debug)]
pub struct Sandbox {
    folder: tempfile::TempDir,
}

/// What became of a file's commands.
#[derive(Debug)]
pub struct Outcome {
    /// Lines whose commands were begun.
    pub ran: Vec<usize>,
    /// What programs and their stand-ins wrote down.
    pub calls: Vec<Call>,
    /// How it ended, if not well.
    pub fault: Option<String>,
}

/// A call that was written down.
#[derive(Debug)]
pub struct Call {
    /// The line of the block's fence.
    pub block: usize,
    pub kind: CallKind,
    /// The program and its words; never empty.
    pub words: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum CallKind {
    /// Not run: a stand-in was called.
    StandIn,
    /// Run with fewer requests or less time than is written.
    Shortened,
    /// Left running until the file's end.
    Served,
    /// Ended with exit code 4, which says that figures are not usable.
    Unusable,
}

impl Call {
    pub fn program(&self) -> &str {
        &self.words[0]
    }
}

impl Sandbox {
    pub fn new(kit: &Kit, repository: &Repository) -> anyhow::Result<Self> {
        let sandbox = Self {
            folder: kit.scratch()?,
        };
        let bin = sandbox.harness("bin");
        let programs = sandbox.harness("programs");
        for folder in [&bin, &programs, &sandbox.harness("scripts")] {
            fs::create_dir_all(folder)?;
        }
        for name in [
            "probe-user",
            "loadgen",
            "sut",
            "readhook.so",
            "front.so",
            "back.so",
        ] {
            install::program(kit.path(name), programs.join(name))?;
        }
        for (file, text) in [
            ("enter.sh", include_str!("sandbox/enter.sh")),
            ("prelude.sh", include_str!("sandbox/prelude.sh")),
            ("needs.sh", include_str!("sandbox/needs.sh")),
        ] {
            fs::write(sandbox.harness(file), text)?;
        }
        for (names, text) in [
            (&PROGRAMS[..], include_str!("sandbox/program.sh")),
            (&STAND_INS, include_str!("sandbox/stand_in.sh")),
            (&["sudo"], include_str!("sandbox/sudo.sh")),
        ] {
            for name in names {
                install::script(text, bin.join(name))?;
            }
        }
        // As it is mounted in there.
        symlink("/mnt/harness/programs/sut", bin.join("sut"))?;
        sandbox.fill(repository)?;
        Ok(sandbox)
    }

    /// The copy of the repository.
    pub fn repository(&self) -> PathBuf {
        self.folder.path().join("repository")
    }

    fn harness(&self, name: &str) -> PathBuf {
        self.folder.path().join("harness").join(name)
    }

    /// Copies the repository, with built programs, as `cargo xtask build` leaves it.
    fn fill(&self, repository: &Repository) -> anyhow::Result<()> {
        repository.copy_to(&self.repository())?;
        let release = self.repository().join("target/release");
        fs::create_dir_all(&release)?;
        for name in ["probe-user", "loadgen", "sut"] {
            symlink(Path::new("/mnt/harness/bin").join(name), release.join(name))?;
        }
        fs::copy(
            self.harness("programs/readhook.so"),
            release.join("readhook.so"),
        )?;
        Ok(())
    }

    /// Runs a script in a fresh copy of the repository.
    pub fn run(&self, repository: &Repository, script: &Script<'_>) -> anyhow::Result<Outcome> {
        fs::remove_dir_all(self.repository())?;
        self.fill(repository)?;
        let serving = self.harness("serving");
        if serving.exists() {
            fs::remove_dir_all(&serving)?;
        }
        fs::create_dir(&serving)?;
        for file in ["ran", "calls"] {
            fs::write(self.harness(file), [])?;
        }
        let name = script.name.replace('/', "-");
        fs::write(self.harness("scripts").join(&name), &script.text)?;
        let mut command = Command::new("unshare");
        command
            .args(["--net", "--mount", "--pid", "--fork", "--mount-proc"])
            .args(["--kill-child", "bash"])
            .arg(self.harness("enter.sh"))
            .arg(self.folder.path())
            .arg(&name);
        let ended = output(&mut command)?;
        let said = String::from_utf8_lossy(&ended.stderr);
        let fault = (!ended.status.success()).then(|| format!("{}: {}", ended.status, said.trim()));
        let ran = fs::read_to_string(self.harness("ran"))?;
        let mut ran = ran
            .lines()
            .map(|line| Ok(line.parse()?))
            .collect::<anyhow::Result<Vec<usize>>>()?;
        ran.sort_unstable();
        ran.dedup();
        let calls = calls(&fs::read_to_string(self.harness("calls"))?)?;
        Ok(Outcome { ran, calls, fault })
    }
}

/// Reads what `program.sh` and `stand_in.sh` have written: kind, block, number of words, words.
fn calls(written: &str) -> anyhow::Result<Vec<Call>> {
    let mut pieces = written.split_terminator('\0').map(str::to_owned);
    let mut calls = Vec::new();
    while let Some(kind) = pieces.next() {
        let kind = match kind.as_str() {
            "stand-in" => CallKind::StandIn,
            "shortened" => CallKind::Shortened,
            "served" => CallKind::Served,
            "unusable" => CallKind::Unusable,
            _ => bail!("{kind:?} is no kind of call"),
        };
        let mut number = || {
            pieces
                .next()
                .context("a call is cut off")?
                .parse()
                .context("no number")
        };
        let block = number()?;
        let count: usize = number()?;
        let words: Vec<String> = pieces.by_ref().take(count).collect();
        ensure!(words.len() == count && count > 0, "a call is cut off");
        calls.push(Call { block, kind, words });
    }
    Ok(calls)
}

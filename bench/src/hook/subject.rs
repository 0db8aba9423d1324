//! A process whose reads are timed, as the bench sees it.

use std::ffi::OsString;
use std::path::Path;
use std::process::Command;

use crate::worker::{Worker, without_hook_settings};

use crate::hook::cases::{Case, Loaded};
use crate::hook::workload::{From, Took};

/// The files that subjects load and write.
#[derive(Clone, Debug)]
pub struct Files {
    /// Our hook.
    pub hook: std::path::PathBuf,
    /// The paper's.
    pub peer: std::path::PathBuf,
    /// A folder for their logs.
    pub logs: std::path::PathBuf,
}

/// A running subject. It ends with the value.
#[derive(Debug)]
pub struct Subject(Worker);

/// The words that make this program the worker of a case.
pub fn words(case: &Case) -> Vec<OsString> {
    let mut words: Vec<OsString> = ["hook-worker", "--from"].map(OsString::from).into();
    words.push(match case.from {
        From::Zero => "zero".into(),
        From::Connection => "connection".into(),
    });
    words.extend(["--message".into(), case.message.into()]);
    if case.without_words {
        words.push("--without-words".into());
    }
    words
}

/// Has a command load what the case loads. Variables of ours do not reach it.
pub fn load(command: &mut Command, case: &Case, files: &Files) -> anyhow::Result<()> {
    without_hook_settings(command, &["READHOOK_", "PAPER_HOOK_"]);
    let preload = |path: &Path| std::path::absolute(path);
    match case.loaded {
        Loaded::Nothing => {}
        Loaded::Ours { mode, settings } => {
            command
                .env("LD_PRELOAD", preload(&files.hook)?)
                .env("READHOOK_MODE", mode)
                .env("READHOOK_LOG", files.logs.join("hook.log"))
                .envs(settings.iter().copied());
        }
        Loaded::Peer => {
            command
                .env("LD_PRELOAD", preload(&files.peer)?)
                .env("PAPER_HOOK_LOG", files.logs.join("peer.log"));
        }
    }
    Ok(())
}

impl Subject {
    /// Starts one on a CPU.
    pub fn start(case: &Case, files: &Files, cpu: usize, batches: usize) -> anyhow::Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command
            .args(words(case))
            .args(["--threads", &case.threads.to_string()])
            .args(["--batches", &batches.to_string()])
            .args(["--cpu", &cpu.to_string()]);
        if case.loaded != Loaded::Nothing {
            command.arg("--must-be-hooked");
        }
        load(&mut command, case, files)?;
        Worker::start(&mut command).map(Self)
    }

    /// Its process number.
    pub fn pid(&self) -> u32 {
        self.0.pid()
    }

    /// What its reads take.
    pub fn measure(&mut self) -> anyhow::Result<Took> {
        self.0.order(&())
    }
}

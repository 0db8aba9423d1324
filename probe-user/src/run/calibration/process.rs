//! The calibrated process, as the agent sees it.

use std::env;
use std::os::fd::OwnedFd;
use std::process::Stdio;

use anyhow::{Context as _, bail};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};

use super::Plan;
use super::first_instruction::FirstInstruction;
use super::words::{Answer, Hello, Order};
use crate::run::arms::preload;
use crate::run::preloaded::complaint;
use crate::run::process::{self, Process, Spawn};
use probes::discover::processes::Pid;

/// A running process that follows orders. It ends with the value.
#[derive(Debug)]
pub struct Worker {
    process: Process,
    orders: OwnedWriteHalf,
    answers: Lines<BufReader<OwnedReadHalf>>,
    functions: Vec<(FirstInstruction, u64)>,
    /// Its process number.
    pub pid: Pid,
}

impl Worker {
    /// Starts it on the CPUs of the servers, with the hook preloaded.
    pub async fn start(plan: &Plan) -> anyhow::Result<Self> {
        let Plan {
            hook,
            bracket,
            trim,
            placement,
            log,
            ..
        } = plan;
        let (ours, theirs) = std::os::unix::net::UnixStream::pair()?;
        ours.set_nonblocking(true)?;
        let (answers, orders) = UnixStream::from_std(ours)?.into_split();
        let mut command = process::command(env::current_exe()?);
        command
            .args(["calibrate-worker", "--trim", &trim.to_string()])
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(Stdio::null());
        if let Some(hook) = hook {
            // A delay would be in each call, attached or not, and only take time.
            let settings = hook.environment.iter().cloned();
            command
                .envs(settings.filter(|(name, _)| name != "READHOOK_DELAY_NS"))
                .env_remove("READHOOK_DELAY_NS")
                .env("LD_PRELOAD", preload(&hook.libraries(bracket.as_deref())?));
        }
        let spawn = Spawn {
            name: "calibrated process",
            cpus: &placement.sut_cpus,
            placement,
            log: log.clone(),
        };
        let process = spawn.start(command)?;
        let pid = process.pid().context("it has ended")?;
        let mut worker = Self {
            process,
            orders,
            answers: BufReader::new(answers).lines(),
            functions: Vec::new(),
            pid,
        };
        let hello: Hello = worker.next().await?;
        worker.functions = hello.functions;
        if let Some(complaint) = complaint(&worker.process.said()) {
            bail!("{complaint}");
        }
        Ok(worker)
    }

    /// Has it make calls.
    pub async fn make(&mut self, order: Order) -> anyhow::Result<Answer> {
        let mut order = serde_json::to_vec(&order)?;
        order.push(b'\n');
        if self.orders.write_all(&order).await.is_err() {
            bail!("{}", self.last_words().await);
        }
        self.next().await
    }

    /// Kinds of first instruction that it has functions with.
    pub fn kinds(&self) -> impl Iterator<Item = FirstInstruction> {
        self.functions.iter().map(|(kind, _)| *kind)
    }

    /// Offset in its executable of the empty function that begins with an instruction of this kind.
    pub fn function(&self, kind: FirstInstruction) -> Option<u64> {
        let found = self
            .functions
            .iter()
            .find(|(its_kind, _)| *its_kind == kind);
        found.map(|(_, offset)| *offset)
    }

    async fn next<T: serde::de::DeserializeOwned>(&mut self) -> anyhow::Result<T> {
        match self.answers.next_line().await? {
            Some(line) => serde_json::from_str(&line)
                .with_context(|| format!("the calibrated process said \"{line}\"")),
            None => bail!("{}", self.last_words().await),
        }
    }

    async fn last_words(&mut self) -> String {
        let end = self.process.end().await;
        end.unwrap_or_else(|| "the calibrated process fell silent".to_owned())
    }
}

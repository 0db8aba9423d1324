//! The micro layer: what the hook adds to one `read` in isolation.
//!
//! Each rung of the hook has a process of its own, as a hook takes its settings when it is loaded. They
//! stand on the servers' CPU and take turns, in rounds: in each round every rung has one block at each
//! temperature, in an order drawn anew.

pub mod evict;
mod varied;
pub mod words;
pub mod worker;

use std::collections::BTreeMap;
use std::env;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, bail};
use indicatif::ProgressBar;
use rand::SeedableRng as _;
use rand::seq::SliceRandom as _;
use rand_chacha::ChaCha8Rng;
use runlog::manifest::Placement;
use stats::Trim;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{ChildStdin, ChildStdout};

use crate::run::arms::HookSpec;
use crate::run::micro::words::{Begin, Order};
use crate::run::preloaded::complaint;
use crate::run::process::{self, Process, Spawn};
use verdict::micro_blocks::{Measured, MicroBlock, Ready, Temperature};

/// A hook as it is set, under a name.
#[derive(Clone, Debug)]
pub struct Rung {
    /// Its name.
    pub name: String,
    /// The hook.
    pub hook: HookSpec,
}

/// What to measure.
#[derive(Debug)]
pub struct Plan {
    /// The rungs.
    pub rungs: Vec<Rung>,
    /// The temperatures, and the calls of each read in a block.
    pub temperatures: Vec<(Temperature, u32)>,
    /// Blocks of each rung at each temperature.
    pub blocks: u32,
    /// The bytes to read.
    pub message: Vec<u8>,
    /// Share of a block's sorted calls left out at each end.
    pub trim: Trim,
    /// Seed.
    pub seed: u64,
    /// Where the processes run.
    pub placement: Placement,
    /// Where they write what they have to say, by name of the rung.
    pub log: PathBuf,
}

/// The bytes of the request that the load generator sends, in a trial too, so that both layers scan the same.
pub async fn request_bytes(
    loadgen: &Path,
    path: &str,
    trial: Option<&str>,
) -> anyhow::Result<Vec<u8>> {
    let mut command = process::command(loadgen);
    command
        .arg("request")
        .arg(format!("micro=http://127.0.0.1:8080{path}"));
    if let Some(trial) = trial {
        command.arg("--trial").arg(trial);
    }
    let output = command
        .output()
        .await
        .context("cannot start the load generator")?;
    if !output.status.success() {
        bail!("{}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(output.stdout)
}

/// Measures.
pub async fn measure(plan: &Plan, bar: &ProgressBar) -> anyhow::Result<Measured> {
    let mut workers = Vec::new();
    let mut eviction = None;
    for rung in &plan.rungs {
        let (worker, ready) = Worker::start(plan, rung)
            .await
            .with_context(|| format!("rung {}", rung.name))?;
        workers.push(worker);
        eviction = Some(ready);
    }
    let eviction = eviction.context("no rung to measure")?;
    let mut random = ChaCha8Rng::seed_from_u64(plan.seed);
    let mut turns: Vec<(usize, Temperature, u32)> = Vec::new();
    for (temperature, calls) in &plan.temperatures {
        turns.extend((0..workers.len()).map(|rung| (rung, *temperature, *calls)));
    }
    let mut blocks = vec![BTreeMap::<_, Vec<_>>::new(); workers.len()];
    bar.set_length(u64::from(plan.blocks));
    // The first round is thrown away: pages of code and data are touched for the first time.
    for round in 0..=plan.blocks {
        turns.shuffle(&mut random);
        for (turn, (rung, temperature, calls)) in (0..).zip(turns.iter().copied()) {
            let order = Order {
                temperature,
                calls,
                seed: plan.seed ^ (u64::from(round) << 16 | turn),
            };
            let block = workers[rung].make(order).await?;
            if round > 0 {
                blocks[rung].entry(temperature).or_default().push(block);
            }
        }
        bar.set_position(u64::from(round));
    }
    for worker in workers {
        worker.process.stop(Duration::ZERO).await;
    }
    Ok(Measured { blocks, eviction })
}

/// A process with the hook.
struct Worker {
    process: Process,
    orders: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
}

impl Worker {
    async fn start(plan: &Plan, rung: &Rung) -> anyhow::Result<(Self, Ready)> {
        let library = std::fs::canonicalize(&rung.hook.path)
            .with_context(|| format!("cannot find {}", rung.hook.path.display()))?;
        let mut command = process::command(env::current_exe()?);
        command
            .arg("micro-worker")
            .env("LD_PRELOAD", library)
            .envs(rung.hook.environment.iter().cloned())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut log = plan.log.clone().into_os_string();
        log.push(format!("-{}.log", rung.name));
        let spawn = Spawn {
            name: "micro worker",
            cpus: &plan.placement.sut_cpus,
            placement: &plan.placement,
            log: log.into(),
        };
        let mut process = spawn.start(command)?;
        let orders = process.child().stdin.take().context("it has no input")?;
        let answers = process.child().stdout.take().context("it has no output")?;
        let mut worker = Self {
            process,
            orders,
            answers: BufReader::new(answers).lines(),
        };
        let begin = Begin {
            message: plan.message.clone(),
            trim: plan.trim.fraction_each_end(),
        };
        let ready = worker.ask(&begin).await?;
        if let Some(complaint) = complaint(&worker.process.said()) {
            bail!("{complaint}");
        }
        Ok((worker, ready))
    }

    async fn make(&mut self, order: Order) -> anyhow::Result<MicroBlock> {
        self.ask(&order).await
    }

    async fn ask<T: serde::de::DeserializeOwned>(
        &mut self,
        question: &impl serde::Serialize,
    ) -> anyhow::Result<T> {
        let mut line = serde_json::to_vec(question)?;
        line.push(b'\n');
        if self.orders.write_all(&line).await.is_ok()
            && let Some(answer) = self.answers.next_line().await?
        {
            return serde_json::from_str(&answer)
                .with_context(|| format!("the micro worker said \"{answer}\""));
        }
        let end = self.process.end().await;
        bail!(
            "{}",
            end.unwrap_or_else(|| "the micro worker fell silent".to_owned())
        )
    }
}

//! The micro layer: what the hook adds to one `read` in isolation.

use std::env;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, bail};
use runlog::RunDirectory;
use runlog::manifest::Placement;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use crate::run::arms::{HookSpec, complaint};
use crate::run::micro_worker::MicroBlock;
use crate::run::process::Spawn;

/// How much to measure.
#[derive(Clone, Copy, Debug)]
pub struct MicroOptions {
    /// Blocks.
    pub blocks: u32,
    /// Calls of each read in a block.
    pub calls: u32,
    /// Share of a block's sorted calls left out at each end.
    pub trim: f64,
    /// Seed.
    pub seed: u64,
}

/// The bytes of the request that the load generator sends, so that both layers scan the same.
pub async fn request_bytes(loadgen: &Path, path: &str) -> anyhow::Result<Vec<u8>> {
    let output = Command::new(loadgen)
        .arg("request")
        .arg(format!("micro=http://127.0.0.1:8080{path}"))
        .env_remove("LD_PRELOAD")
        .output()
        .await
        .context("cannot start the load generator")?;
    if !output.status.success() {
        bail!("{}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(output.stdout)
}

/// Measures in a process of its own, on the servers' CPUs.
pub async fn measure(
    hook: &HookSpec,
    message: &[u8],
    options: MicroOptions,
    run: &RunDirectory,
    placement: &Placement,
) -> anyhow::Result<Vec<MicroBlock>> {
    let mut command = Command::new(env::current_exe()?);
    command.arg("micro-worker");
    for (option, value) in [
        ("--blocks", options.blocks.to_string()),
        ("--calls", options.calls.to_string()),
        ("--trim", options.trim.to_string()),
        ("--seed", options.seed.to_string()),
    ] {
        command.arg(option).arg(value);
    }
    command
        .env("LD_PRELOAD", std::path::absolute(&hook.path)?)
        .envs(hook.environment.iter().cloned())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    let spawn = Spawn {
        name: "micro worker",
        cpus: &placement.sut_cpus,
        our_cpus: &placement.agent_cpus,
        log: run.process_log("micro"),
    };
    let mut worker = spawn.start(command)?;
    let mut input = worker
        .child()
        .stdin
        .take()
        .context("the micro worker has no input")?;
    input.write_all(message).await?;
    drop(input);
    let mut output = worker
        .child()
        .stdout
        .take()
        .context("the micro worker has no output")?;
    let mut text = String::new();
    tokio::io::AsyncReadExt::read_to_string(&mut output, &mut text).await?;
    let status = worker.child().wait().await?;
    if !status.success() {
        bail!(
            "micro worker ended ({status}): {}",
            worker.said().trim_end()
        );
    }
    if let Some(complaint) = complaint(&worker.said()) {
        bail!("{complaint}");
    }
    worker.stop(Duration::ZERO).await;
    serde_json::from_str(&text).context("the micro worker said something else than blocks")
}

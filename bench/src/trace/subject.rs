//! A workload process, as the bench sees it.

use std::path::Path;
use std::process::Command;

use crate::worker::{Worker, without_hook_settings};
use anyhow::Context as _;
use stats::Trim;

use crate::trace::workload::{Call, Order};

/// A running workload. It ends with the value.
#[derive(Debug)]
pub struct Subject(Worker);

impl Subject {
    /// Starts one on a CPU, with `hook` preloaded.
    pub fn start(hook: Option<&Path>, cpu: usize) -> anyhow::Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["trace-worker", "--cpu", &cpu.to_string()]);
        without_hook_settings(&mut command, &["READHOOK_"]);
        if let Some(hook) = hook {
            command.env("LD_PRELOAD", std::path::absolute(hook)?);
        }
        Worker::start(&mut command).map(Self)
    }

    /// Its process number.
    pub fn pid(&self) -> u32 {
        self.0.pid()
    }

    /// What a call takes, in ns: the mean over batches, trimmed.
    pub fn ns_per_call(&mut self, call: Call, batches: u32, calls: u32) -> anyhow::Result<f64> {
        /// Share of the batches left out at each end: those that were interrupted.
        const TRIM: f64 = 0.2;
        let mut durations_ns: Vec<f64> = self.0.order(&Order::Batches {
            call,
            batches,
            calls,
        })?;
        let trim = Trim::each_end(TRIM).context("the trim")?;
        let mean_ns = trim.mean(&mut durations_ns).context("no batches")?;
        Ok(mean_ns / f64::from(calls))
    }

    /// Has it read as fast as it can; returns the number of reads.
    pub fn flood(
        &mut self,
        threads: usize,
        duration_ms: u64,
        pause_ns: u64,
    ) -> anyhow::Result<f64> {
        let [reads] = self.0.order(&Order::Flood {
            threads,
            duration_ms,
            pause_ns,
        })?;
        Ok(reads)
    }
}

//! A workload process, as the bench sees it.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context as _, bail};
use stats::Trim;

use crate::workload::{Call, Order};

/// A running workload. It ends with the value.
#[derive(Debug)]
pub struct Subject {
    child: Child,
    orders: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Subject {
    /// Starts one on a CPU, with `hook` preloaded.
    pub fn start(hook: Option<&Path>, cpu: usize) -> anyhow::Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command
            .args(["workload", "--cpu", &cpu.to_string()])
            .env_remove("LD_PRELOAD")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("READHOOK_") {
                command.env_remove(name);
            }
        }
        if let Some(hook) = hook {
            command.env("LD_PRELOAD", std::path::absolute(hook)?);
        }
        let mut child = command.spawn().context("cannot start the workload")?;
        let orders = child.stdin.take();
        let answers = BufReader::new(child.stdout.take().context("the workload's stdout")?);
        let mut subject = Self {
            child,
            orders,
            answers,
        };
        subject.answer()?;
        Ok(subject)
    }

    /// Its process number.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What a call takes, in ns: the mean over batches, trimmed.
    pub fn ns_per_call(&mut self, call: Call, batches: u32, calls: u32) -> anyhow::Result<f64> {
        /// Share of the batches left out at each end: those that were interrupted.
        const TRIM: f64 = 0.2;
        let mut durations_ns = self.order(Order::Batches {
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
        let answer = self.order(Order::Flood {
            threads,
            duration_ms,
            pause_ns,
        })?;
        answer.first().copied().context("no answer")
    }

    fn order(&mut self, order: Order) -> anyhow::Result<Vec<f64>> {
        let orders = self.orders.as_mut().context("the workload's stdin")?;
        writeln!(orders, "{order}").context("the workload has ended")?;
        self.answer()
    }

    fn answer(&mut self) -> anyhow::Result<Vec<f64>> {
        let mut line = String::new();
        if self.answers.read_line(&mut line)? == 0 {
            bail!("the workload has ended ({})", self.child.wait()?);
        }
        let numbers = line.split_whitespace().map(str::parse);
        numbers
            .collect::<Result<_, _>>()
            .with_context(|| format!("the workload's answer \"{}\"", line.trim_end()))
    }
}

impl Drop for Subject {
    fn drop(&mut self) {
        // It ends when its stdin does.
        self.orders = None;
        let _ = self.child.wait();
    }
}

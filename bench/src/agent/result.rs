//! What came out, and whether it is what was to be reached.

use crate::estimate::{Target, Verdict};
use crate::table::table;
use serde::Serialize;

use crate::agent::observed::Scrape;

/// Share of one CPU that the agent may take.
const MAX_CPU_SHARE: f64 = 0.05;
/// Memory that it may take, that of its histograms in the kernel included.
const MAX_MEMORY: u64 = 150 << 20;
/// How long a scrape may take, in the middle.
const MAX_SCRAPE_MS: f64 = 50.0;
/// What of the rate that was asked for must be reached, for the rest to tell anything.
const MIN_RATE: f64 = 0.95;

/// What was measured.
#[derive(Debug, Default, Serialize)]
pub struct Measured {
    /// Release of the kernel.
    pub kernel: String,
    /// CPU model.
    pub cpu: String,
    /// CPUs that we may use.
    pub cpus: usize,
    /// Hooked servers.
    pub processes: u32,
    /// Arms in containers.
    pub arms: u32,
    /// Reads in a second that were asked for.
    pub asked_reads_per_s: u32,
    /// Those that were reached.
    pub reads_per_s: f64,
    /// How long they went on.
    pub seconds: f64,
    /// Reads that were made.
    pub reads: u64,
    /// Those that are in the agent's histograms.
    pub reads_in_histograms: u64,
    /// Whether all ledgers balance.
    pub ledgers_balance: bool,
    /// Length of the answer at `/v1/arms`, histograms in full.
    pub arms_answer_bytes: usize,
    /// What the agent took.
    pub agent: Use,
    /// What scrapes of its metrics took.
    pub scrape: Scrapes,
    /// What was to be reached, and whether it was.
    pub targets: Vec<Target>,
}

/// What the agent took.
#[derive(Debug, Default, Serialize)]
pub struct Use {
    /// Share of one CPU. What its eBPF programs take is in the servers' time.
    pub cpu_share: f64,
    /// Its resident memory.
    pub resident_bytes: u64,
    /// Kernel memory of its histograms.
    pub histogram_bytes: u64,
}

/// What scrapes took.
#[derive(Debug, Default, Serialize)]
pub struct Scrapes {
    times: usize,
    min_ms: f64,
    median_ms: f64,
    max_ms: f64,
    bytes: usize,
}

impl Scrapes {
    /// Of at least one scrape.
    pub fn of(scrapes: &[Scrape]) -> Option<Self> {
        let ms = scrapes.iter().map(|scrape| scrape.took.as_secs_f64() * 1e3);
        let mut ms: Vec<f64> = ms.collect();
        ms.sort_unstable_by(f64::total_cmp);
        Some(Self {
            times: ms.len(),
            min_ms: *ms.first()?,
            median_ms: ms[(ms.len() - 1) / 2],
            max_ms: *ms.last()?,
            bytes: scrapes.iter().map(|scrape| scrape.bytes).max()?,
        })
    }
}

impl Measured {
    /// With what that means for the targets.
    pub fn judged(mut self) -> Self {
        let are_complete = self.reads == self.reads_in_histograms && self.ledgers_balance;
        let memory = self.agent.resident_bytes + self.agent.histogram_bytes;
        let targets = [
            (
                "the rate that was asked for",
                self.reads_per_s >= MIN_RATE * f64::from(self.asked_reads_per_s),
            ),
            ("all reads in histograms, ledgers balance", are_complete),
            ("under 5 % of one CPU", self.agent.cpu_share < MAX_CPU_SHARE),
            (
                "under 150 MiB with the kernel's histograms",
                memory < MAX_MEMORY,
            ),
            (
                "a scrape under 50 ms, in the middle",
                self.scrape.median_ms < MAX_SCRAPE_MS,
            ),
        ];
        let target = |(what, is_reached): (&str, bool)| Target {
            what: what.to_owned(),
            verdict: if is_reached {
                Verdict::Holds
            } else {
                Verdict::Missed
            },
        };
        self.targets = targets.map(target).into();
        self
    }

    /// Whether all targets are reached.
    pub fn all_reached(&self) -> bool {
        let is_reached = |target: &Target| target.verdict == Verdict::Holds;
        self.targets.iter().all(is_reached)
    }

    /// Prints it.
    pub fn print(&self) {
        println!("{}, {} CPUs, Linux {}", self.cpu, self.cpus, self.kernel);
        println!(
            "{} hooked processes in {} arms, {:.0} s\n",
            self.processes, self.arms, self.seconds
        );
        let mebibytes = |bytes: u64| format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20));
        let ms = |ms: f64| format!("{ms:.1} ms");
        let Self { agent, scrape, .. } = self;
        let mut figures = table(&["", ""]);
        figures.add_rows([
            [
                "reads a second asked for",
                &self.asked_reads_per_s.to_string(),
            ],
            [
                "reads a second reached",
                &format!("{:.0}", self.reads_per_s),
            ],
            ["reads", &self.reads.to_string()],
            [
                "of them in histograms",
                &self.reads_in_histograms.to_string(),
            ],
            [
                "the agent's share of one CPU",
                &format!("{:.2} %", 100.0 * agent.cpu_share),
            ],
            ["its resident memory", &mebibytes(agent.resident_bytes)],
            [
                "kernel memory of its histograms",
                &mebibytes(agent.histogram_bytes),
            ],
            ["scrapes", &scrape.times.to_string()],
            ["a scrape: shortest", &ms(scrape.min_ms)],
            ["in the middle", &ms(scrape.median_ms)],
            ["longest", &ms(scrape.max_ms)],
            ["its size", &format!("{} bytes", scrape.bytes)],
            [
                "size of /v1/arms",
                &format!("{} bytes", self.arms_answer_bytes),
            ],
        ]);
        println!("{figures}\n");
        for target in &self.targets {
            println!("{}: {}", target.what, target.verdict.words());
        }
    }
}

#[cfg(test)]
mod tests;

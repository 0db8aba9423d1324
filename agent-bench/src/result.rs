//! What came out, and whether it is what was to be reached.

use bench_kit::estimate::{Target, Verdict};
use bench_kit::table::table;
use serde::{Serialize, Serializer};

use crate::agent::Scrape;

/// Share of one CPU that the agent may take.
const MAX_CPU_SHARE: f64 = 0.05;
/// Memory that it may take, that of its histograms in the kernel included.
const MAX_MEMORY: u64 = 150 << 20;
/// How long a scrape may take, in the middle.
const MAX_SCRAPE_MS: f64 = 50.0;
/// What of the rate that was asked for must be reached, for the rest to tell anything.
const MIN_RATE: f64 = 0.95;

/// What was measured.
#[derive(Debug)]
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
    /// Share of one CPU that the agent took. What its eBPF programs take is in the servers' time.
    pub agent_cpu_share: f64,
    /// Its resident memory.
    pub resident_bytes: u64,
    /// Kernel memory of its histograms.
    pub histogram_bytes: u64,
    /// Scrapes of its metrics.
    pub scrapes: Scrapes,
}

/// What scrapes took.
#[derive(Debug, Default)]
pub struct Scrapes {
    took_ms: Vec<f64>,
    bytes: usize,
}

impl Scrapes {
    /// Adds one.
    pub fn push(&mut self, scrape: Scrape) {
        self.took_ms.push(scrape.took.as_secs_f64() * 1e3);
        self.took_ms.sort_unstable_by(f64::total_cmp);
        self.bytes = self.bytes.max(scrape.bytes);
    }

    /// The shortest, the middle and the longest time, in ms.
    fn min_median_max_ms(&self) -> [f64; 3] {
        let last = self.took_ms.len().saturating_sub(1);
        [0, last / 2, last].map(|rank| self.took_ms.get(rank).copied().unwrap_or(f64::NAN))
    }
}

impl Measured {
    fn reads_per_s(&self) -> f64 {
        self.reads as f64 / self.seconds
    }

    fn targets(&self) -> Vec<Target> {
        let target = |what: &str, is_reached: bool| Target {
            what: what.to_owned(),
            verdict: if is_reached {
                Verdict::Holds
            } else {
                Verdict::Missed
            },
        };
        let [_, median_ms, _] = self.scrapes.min_median_max_ms();
        let asked = f64::from(self.asked_reads_per_s);
        vec![
            target(
                "the rate that was asked for",
                self.reads_per_s() >= MIN_RATE * asked,
            ),
            target(
                "all reads in histograms, ledgers balance",
                self.reads == self.reads_in_histograms && self.ledgers_balance,
            ),
            target("under 5 % of one CPU", self.agent_cpu_share < MAX_CPU_SHARE),
            target(
                "under 150 MiB with the kernel's histograms",
                self.resident_bytes + self.histogram_bytes < MAX_MEMORY,
            ),
            target(
                "a scrape under 50 ms, in the middle",
                median_ms < MAX_SCRAPE_MS,
            ),
        ]
    }

    /// Whether all targets are reached.
    pub fn all_reached(&self) -> bool {
        let targets = self.targets();
        targets
            .iter()
            .all(|target| target.verdict == Verdict::Holds)
    }

    /// Prints it.
    pub fn print(&self) {
        println!("{}, {} CPUs, Linux {}", self.cpu, self.cpus, self.kernel);
        println!(
            "{} hooked processes in {} arms, {:.0} s\n",
            self.processes, self.arms, self.seconds
        );
        let [min_ms, median_ms, max_ms] = self.scrapes.min_median_max_ms();
        let mebibytes = |bytes: u64| format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20));
        let mut figures = table(&["", ""]);
        for (what, value) in [
            (
                "reads a second asked for",
                self.asked_reads_per_s.to_string(),
            ),
            (
                "reads a second reached",
                format!("{:.0}", self.reads_per_s()),
            ),
            ("reads", self.reads.to_string()),
            (
                "of them in histograms",
                self.reads_in_histograms.to_string(),
            ),
            (
                "the agent's share of one CPU",
                format!("{:.2} %", 100.0 * self.agent_cpu_share),
            ),
            ("its resident memory", mebibytes(self.resident_bytes)),
            (
                "kernel memory of its histograms",
                mebibytes(self.histogram_bytes),
            ),
            ("scrapes", self.scrapes.took_ms.len().to_string()),
            ("a scrape: shortest", format!("{min_ms:.1} ms")),
            ("in the middle", format!("{median_ms:.1} ms")),
            ("longest", format!("{max_ms:.1} ms")),
            ("its size", format!("{} bytes", self.scrapes.bytes)),
            (
                "size of /v1/arms",
                format!("{} bytes", self.arms_answer_bytes),
            ),
        ] {
            figures.add_row([what.to_owned(), value]);
        }
        println!("{figures}\n");
        for target in self.targets() {
            println!("{}: {}", target.what, target.verdict.words());
        }
    }
}

impl Serialize for Measured {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let [min_ms, median_ms, max_ms] = self.scrapes.min_median_max_ms();
        serde_json::json!({
            "kernel": self.kernel,
            "cpu": self.cpu,
            "cpus": self.cpus,
            "processes": self.processes,
            "arms": self.arms,
            "seconds": self.seconds,
            "asked_reads_per_s": self.asked_reads_per_s,
            "reads_per_s": self.reads_per_s(),
            "reads": self.reads,
            "reads_in_histograms": self.reads_in_histograms,
            "ledgers_balance": self.ledgers_balance,
            "agent": {
                "cpu_share": self.agent_cpu_share,
                "resident_bytes": self.resident_bytes,
                "histogram_bytes": self.histogram_bytes,
            },
            "scrape": {
                "times": self.scrapes.took_ms.len(),
                "min_ms": min_ms,
                "median_ms": median_ms,
                "max_ms": max_ms,
                "bytes": self.scrapes.bytes,
            },
            "arms_answer_bytes": self.arms_answer_bytes,
            "targets": self.targets(),
        })
        .serialize(serializer)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn measured() -> Measured {
        let mut scrapes = Scrapes::default();
        for (took_ms, bytes) in [(40, 9), (10, 8), (200, 7)] {
            let took = Duration::from_millis(took_ms);
            scrapes.push(Scrape { took, bytes });
        }
        Measured {
            kernel: String::new(),
            cpu: String::new(),
            cpus: 2,
            processes: 200,
            arms: 20,
            asked_reads_per_s: 1_000,
            seconds: 2.0,
            reads: 2_000,
            reads_in_histograms: 2_000,
            ledgers_balance: true,
            arms_answer_bytes: 1,
            agent_cpu_share: 0.03,
            resident_bytes: 20 << 20,
            histogram_bytes: 100 << 20,
            scrapes,
        }
    }

    #[test]
    fn each_target_can_be_missed() {
        type Spoil = fn(&mut Measured);
        assert!(measured().all_reached());
        let spoils: [Spoil; 6] = [
            |measured| measured.reads = 1_800,
            |measured| measured.reads_in_histograms -= 1,
            |measured| measured.ledgers_balance = false,
            |measured| measured.agent_cpu_share = 0.06,
            |measured| measured.histogram_bytes = 140 << 20,
            |measured| measured.scrapes.took_ms = vec![60.0],
        ];
        for (number, spoil) in spoils.into_iter().enumerate() {
            let mut measured = measured();
            spoil(&mut measured);
            assert!(!measured.all_reached(), "{number}");
        }
    }

    #[test]
    fn scrapes_are_sorted() {
        let json = serde_json::json!(measured());
        let scrape = &json["scrape"];
        assert_eq!(
            [&scrape["min_ms"], &scrape["median_ms"], &scrape["max_ms"]],
            [10.0, 40.0, 200.0]
        );
        assert_eq!(scrape["bytes"], 9);
    }
}

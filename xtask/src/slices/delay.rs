//! A delay behind the hook, found by slices of time: the interval must hold the delay's length, at few connections and at many, for
//! two kinds of servers and of scheduling.
//!
//! A core need not pay a delay in full, nor only once: where threads preempt each other a longer request may save a switch between
//! them. So whole processes are measured beside the slices, with a hook that waits as long. Where the slices miss the length, they
//! must find what whole processes pay for it.

use std::process::ExitCode;

use anyhow::Context as _;
use comfy_table::{Table, presets};
use serde_json::Value;

use crate::command::{command, root, run, run_folder, target};
use crate::interrupt;
use crate::series::{bench, may_miss, median, number};
use crate::slices::SHORT_MICRO;

const CONNECTIONS: [u32; 4] = [1, 8, 32, 256];
const SCHEDULINGS: [&str; 2] = ["batch", "fair"];
/// Of so many trials of a cell, at least this many intervals are to hold the delay, at the first try.
const HELD: [usize; 2] = [18, 20];
/// Whole processes are measured once in so many turns, and say nothing where their range is wider than this.
const TURNS_OF_WHOLE: usize = 4;
const WIDEST: f64 = 0.3;
const WHOLE: [&str; 8] = [
    "--order=rmit",
    "--placement=one-core",
    "--requests=300000",
    // Long enough that each of 256 connections sends some requests.
    "--blocks=24",
    "--block-warmup=500",
    "--servers=8",
    // The cheapest mode that waits: mode off passes everything through at once.
    "--hook-env=READHOOK_MODE=passthrough",
    "--hook-env=READHOOK_DELAY_NS=1000",
];

/// Trials of one kind.
struct Cell {
    server: &'static str,
    /// What starts it; nothing for `sut`.
    words: Vec<String>,
    connections: u32,
    scheduling: &'static str,
    /// How many were run.
    runs: usize,
    trials: Vec<Trial>,
    /// What whole processes pay for each ns that their hook takes, of each of their runs.
    whole: Vec<f64>,
    not_usable: usize,
}

/// What a trial has found, all in ns.
struct Trial {
    delay: f64,
    effect: f64,
    ci95: [f64; 2],
    per_completed: f64,
    slice: f64,
}

/// Runs the trials and prints what came out. What falls short at the first try may be chance: in sound trials more than two of 20
/// intervals miss in one of 13 series, and there are 16. So these cells are measured once more, and both series together must be sound.
pub fn prove(runs: usize) -> anyhow::Result<ExitCode> {
    let mut cells = cells(&threads()?);
    measure(cells.iter_mut(), runs)?;
    println!("{}", table(&cells));
    let is_short = |cell: &&mut Cell| !cell.holds();
    let mut short: Vec<&mut Cell> = cells.iter_mut().filter(is_short).collect();
    if short.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    println!("{} fall short; once more:", short.len());
    measure(short.iter_mut().map(|cell| &mut **cell), runs)?;
    let is_sound = short.iter().all(|cell| cell.is_sound());
    println!("{}", table(&cells));
    Ok(if is_sound {
        ExitCode::SUCCESS
    } else {
        println!(
            "of {} trials of a cell {} may miss both the delay and what whole processes pay for it",
            2 * runs,
            may_miss(2 * runs)
        );
        ExitCode::FAILURE
    })
}

/// Compiles the server that has a thread for each connection.
fn threads() -> anyhow::Result<String> {
    let program = target().join("slices-threads");
    let source = root().join("tests/system/c/threads.c");
    run(command("cc")
        .args(["-O1", "-Wall", "-pthread", "-o"])
        .arg(&program)
        .arg(source))?;
    program
        .into_os_string()
        .into_string()
        .ok()
        .context("a path that is not text")
}

fn cells(threads: &str) -> Vec<Cell> {
    let thread_words = ["--", threads, "{port}"].map(str::to_owned);
    let mut cells = Vec::new();
    for (server, words) in [("event loop", [].as_slice()), ("threads", &thread_words)] {
        for scheduling in SCHEDULINGS {
            for connections in CONNECTIONS {
                cells.push(Cell {
                    server,
                    words: words.to_vec(),
                    connections,
                    scheduling,
                    runs: 0,
                    trials: Vec::new(),
                    whole: Vec::new(),
                    not_usable: 0,
                });
            }
        }
    }
    cells
}

/// Runs so many trials of each, in turn: what drifts falls on all alike.
fn measure<'a>(cells: impl Iterator<Item = &'a mut Cell>, runs: usize) -> anyhow::Result<()> {
    let mut cells: Vec<&mut Cell> = cells.collect();
    for turn in 0..runs {
        for cell in &mut cells {
            cell.runs += 1;
            let options = ["--slice=auto", "--duration=5"];
            if let Some(analysis) = cell.bench(&options)? {
                cell.add(&analysis)?;
            }
            if turn % TURNS_OF_WHOLE == 0
                && let Some(analysis) = cell.bench(&WHOLE)?
            {
                cell.add_whole(&analysis);
            }
        }
        eprintln!("turn {} of {runs}", turn + 1);
    }
    Ok(())
}

impl Cell {
    /// Nothing of a run that failed, which is said.
    fn bench(&self, options: &[&str]) -> anyhow::Result<Option<Value>> {
        let options = options.iter().chain(&SHORT_MICRO);
        let mut words: Vec<String> = options.map(|&word| word.to_owned()).collect();
        words.push(format!("--connections={}", self.connections));
        words.push(format!("--scheduling={}", self.scheduling));
        words.extend_from_slice(&self.words);
        match bench(&run_folder("slices")?, &words) {
            Ok(analysis) => Ok(Some(analysis)),
            Err(error) => {
                interrupt::check()?;
                eprintln!("xtask: {error:#}");
                Ok(None)
            }
        }
    }

    /// Takes in what a trial has found. One without an interval does not hold the delay.
    fn add(&mut self, analysis: &Value) -> anyhow::Result<()> {
        let not_usable = analysis["not_usable"].as_array().context("no not_usable")?;
        self.not_usable += usize::from(!not_usable.is_empty());
        let slices = &analysis["trial"]["slices"];
        let dose = &slices["responses"]["per_completed"]["arms"][0];
        if dose["is_measured"] == true {
            self.trials.push(Trial {
                delay: number(dose, "/delay_ns")?,
                effect: number(dose, "/effect/estimate")?,
                ci95: [
                    number(dose, "/effect/ci95/0")?,
                    number(dose, "/effect/ci95/1")?,
                ],
                per_completed: number(slices, "/per_completed/estimate")?,
                slice: number(slices, "/slice_ns")?,
            });
        }
        Ok(())
    }

    /// Takes in what whole processes have found. In a closed loop without think time the response time is the number of connections
    /// times the time per completed request (Little's law).
    fn add_whole(&mut self, analysis: &Value) {
        let is_usable = analysis["not_usable"].as_array().is_some_and(Vec::is_empty);
        let taken_ns = number(analysis, "/micro/hook_overhead/estimate");
        let response_ns = number(analysis, "/macro/difference/estimate");
        if let (true, Ok(taken_ns), Ok(response_ns)) = (is_usable, taken_ns, response_ns) {
            let share = response_ns / f64::from(self.connections) / taken_ns;
            self.whole.push(share);
        }
    }

    /// How many trials held the delay.
    fn held(&self) -> usize {
        self.trials
            .iter()
            .filter(|trial| trial.holds([1.0; 2]))
            .count()
    }

    /// How many held what whole processes pay for the delay: that range of shares of it.
    fn held_whole(&self) -> usize {
        let Some(range @ [least, most]) = self.range_of_whole() else {
            return 0;
        };
        if most - least > WIDEST {
            return 0;
        }
        self.trials
            .iter()
            .filter(|trial| trial.holds(range))
            .count()
    }

    /// A range that holds their median in 94 % of all cases, whatever their distribution: of five values the whole range, of
    /// ten or more all but the least and the largest.
    fn range_of_whole(&self) -> Option<[f64; 2]> {
        let mut shares = self.whole.clone();
        shares.sort_by(f64::total_cmp);
        let left_out = usize::from(shares.len() >= 10);
        let last = shares.len().checked_sub(1 + left_out)?;
        Some([*shares.get(left_out)?, shares[last]])
    }

    fn holds(&self) -> bool {
        self.held() * HELD[1] >= self.runs * HELD[0]
    }

    fn is_sound(&self) -> bool {
        let held = self.held().max(self.held_whole());
        self.runs - held <= may_miss(self.runs)
    }

    fn median(&self, of: impl Fn(&Trial) -> f64) -> f64 {
        median(&self.trials.iter().map(of).collect::<Vec<_>>())
    }
}

impl Trial {
    /// Whether some share of the delay within this range is in the interval.
    fn holds(&self, [least, most]: [f64; 2]) -> bool {
        let [low, high] = self.ci95;
        low <= most * self.delay && least * self.delay <= high
    }

    fn half_width(&self) -> f64 {
        let [low, high] = self.ci95;
        (high - low) / 2.0
    }
}

fn table(cells: &[Cell]) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::ASCII_MARKDOWN).set_header([
        "server",
        "scheduling",
        "connections",
        "held",
        "effect",
        "half-width",
        "delay",
        "ns per ns of delay",
        "of whole processes",
        "held that",
        "per completed",
        "slices",
        "not usable",
    ]);
    for cell in cells {
        let whole = match cell.range_of_whole() {
            Some([least, most]) => format!("{:.2} [{least:.2}, {most:.2}]", median(&cell.whole)),
            None => String::new(),
        };
        table.add_row([
            cell.server.to_owned(),
            cell.scheduling.to_owned(),
            cell.connections.to_string(),
            format!("{}/{}", cell.held(), cell.runs),
            format!("{:.0} ns", cell.median(|trial| trial.effect)),
            format!("{:.0} ns", cell.median(Trial::half_width)),
            format!("{:.0} ns", cell.median(|trial| trial.delay)),
            format!("{:.2}", cell.median(|trial| trial.effect / trial.delay)),
            whole,
            format!("{}/{}", cell.held_whole(), cell.runs),
            format!("{:.0} ns", cell.median(|trial| trial.per_completed)),
            format!("{:.0} ms", cell.median(|trial| trial.slice) / 1e6),
            cell.not_usable.to_string(),
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn analysis(ci95: [f64; 2], not_usable: &[&str]) -> Value {
        let effect = json!({"estimate": 1_000.0, "ci95": ci95});
        let dose = json!({"delay_ns": 1_040.0, "is_measured": true, "effect": effect});
        json!({
            "not_usable": not_usable,
            "trial": {"slices": {
                "slice_ns": 10_000_000,
                "per_completed": {"estimate": 5_000.0},
                "responses": {"per_completed": {"arms": [dose]}},
            }},
        })
    }

    #[test]
    fn there_is_a_cell_of_each_kind() {
        let cells = cells("threads");
        assert_eq!(cells.len(), 16);
        assert_eq!(cells[0].words, [""; 0]);
        assert_eq!(cells[15].words, ["--", "threads", "{port}"]);
    }

    #[test]
    fn a_trial_holds_the_delay_or_misses_it_or_has_no_interval() {
        let cell = &mut cells("")[0];
        for _ in 0..18 {
            cell.add(&analysis([900.0, 1_100.0], &[])).unwrap();
        }
        cell.add(&analysis([900.0, 1_030.0], &["noise"])).unwrap();
        assert_eq!((cell.held(), cell.not_usable), (18, 1));
        let mut without = analysis([0.0, 0.0], &[]);
        without["trial"]["slices"]["responses"] = json!({});
        cell.add(&without).unwrap();
        assert_eq!(cell.held(), 18);
        // Of 20, the trial without an interval too.
        cell.runs = 20;
        assert!(cell.holds() && cell.is_sound());
        // Of 22 may miss 4, and of 24 five.
        cell.runs = 22;
        assert!(!cell.holds() && cell.is_sound());
        cell.runs = 24;
        assert!(!cell.is_sound());
    }

    #[test]
    fn where_whole_processes_pay_less_than_the_delay_so_may_slices() {
        let cell = &mut cells("")[1];
        cell.runs = 20;
        for _ in 0..20 {
            cell.add(&analysis([700.0, 900.0], &[])).unwrap();
        }
        assert!(!cell.is_sound());
        // 8 connections, so a request that takes 6,000 ns longer takes 750 ns of the server's time.
        for response_ns in [6_000.0, 7_200.0] {
            let whole = json!({
                "not_usable": [],
                "micro": {"hook_overhead": {"estimate": 1_000.0}},
                "macro": {"difference": {"estimate": response_ns}},
            });
            cell.add_whole(&whole);
        }
        assert_eq!(cell.range_of_whole(), Some([0.75, 0.9]));
        assert_eq!((cell.held(), cell.held_whole()), (0, 20));
        assert!(!cell.holds() && cell.is_sound());
        // Of 1,040 ns these shares are 780 to 936.
        cell.whole = vec![0.9, 1.0];
        assert_eq!(cell.held_whole(), 0);
        // What could be anything shows nothing.
        cell.whole = vec![0.5, 1.0];
        assert_eq!(cell.held_whole(), 0);
        cell.whole = (1..=10).map(f64::from).collect();
        assert_eq!(cell.range_of_whole(), Some([2.0, 9.0]));
        // Of a run that is not usable nothing is taken.
        cell.add_whole(&json!({"not_usable": ["noise"]}));
        assert_eq!(cell.whole.len(), 10);
    }
}

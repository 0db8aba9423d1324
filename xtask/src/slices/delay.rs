//! A delay behind the hook, found by slices of time: the interval must hold the delay's length, at few connections and at many, for
//! two kinds of servers and of scheduling.

use std::path::Path;
use std::process::ExitCode;

use anyhow::Context as _;
use comfy_table::{Table, presets};
use serde_json::Value;

use crate::command::{command, root, run, run_folder, target};
use crate::interrupt;
use crate::series::{Series, bench, may_miss, median, number};
use crate::slices::SHORT_MICRO;

const CONNECTIONS: [u32; 4] = [1, 8, 32, 256];
const SCHEDULINGS: [&str; 2] = ["batch", "fair"];
/// Of so many trials of a cell, at least this many intervals are to hold the delay, at the first try.
const HELD: [usize; 2] = [18, 20];

/// Trials of one kind.
struct Cell {
    server: &'static str,
    /// What starts it; nothing for `sut`.
    words: Vec<String>,
    connections: u32,
    scheduling: &'static str,
    runs: usize,
    effects: Series,
    delays_ns: Vec<f64>,
    per_completed_ns: Vec<f64>,
    lengths_ns: Vec<f64>,
    not_usable: usize,
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
            "of {} trials of a cell {} may miss the delay",
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
                    effects: Series::default(),
                    delays_ns: Vec::new(),
                    per_completed_ns: Vec::new(),
                    lengths_ns: Vec::new(),
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
    for run in 1..=runs {
        for cell in &mut cells {
            cell.measure(&run_folder("slices")?)?;
        }
        eprintln!("turn {run} of {runs}");
    }
    Ok(())
}

impl Cell {
    fn measure(&mut self, out: &Path) -> anyhow::Result<()> {
        let options = ["--slice=auto", "--duration=5"]
            .into_iter()
            .chain(SHORT_MICRO);
        let mut words: Vec<String> = options.map(str::to_owned).collect();
        words.push(format!("--connections={}", self.connections));
        words.push(format!("--scheduling={}", self.scheduling));
        words.extend_from_slice(&self.words);
        self.runs += 1;
        match bench(out, &words) {
            Ok(analysis) => self.add(&analysis),
            Err(error) => {
                interrupt::check()?;
                eprintln!("xtask: {error:#}");
                Ok(())
            }
        }
    }

    /// Takes in what a trial has found. One without an interval does not hold the delay.
    fn add(&mut self, analysis: &Value) -> anyhow::Result<()> {
        let not_usable = analysis["not_usable"].as_array().context("no not_usable")?;
        self.not_usable += usize::from(!not_usable.is_empty());
        let slices = &analysis["trial"]["slices"];
        self.lengths_ns.push(number(slices, "/slice_ns")?);
        let dose = &slices["responses"]["per_completed"]["arms"][0];
        if dose["is_measured"] == true {
            let delay_ns = number(dose, "/delay_ns")?;
            self.effects.add(&dose["effect"], delay_ns)?;
            self.delays_ns.push(delay_ns);
            self.per_completed_ns
                .push(number(slices, "/per_completed/estimate")?);
        }
        Ok(())
    }

    fn held(&self) -> usize {
        self.effects.estimates.len() - self.effects.missed
    }

    fn holds(&self) -> bool {
        self.held() * HELD[1] >= self.runs * HELD[0]
    }

    fn is_sound(&self) -> bool {
        self.runs - self.held() <= may_miss(self.runs)
    }
}

fn table(cells: &[Cell]) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_header([
        "server",
        "scheduling",
        "connections",
        "held",
        "effect",
        "half-width",
        "delay",
        "per completed",
        "slices",
        "not usable",
    ]);
    for cell in cells {
        table.add_row([
            cell.server.to_owned(),
            cell.scheduling.to_owned(),
            cell.connections.to_string(),
            format!("{}/{}", cell.held(), cell.runs),
            format!("{:.0} ns", median(&cell.effects.estimates)),
            format!("{:.0} ns", median(&cell.effects.half_widths)),
            format!("{:.0} ns", median(&cell.delays_ns)),
            format!("{:.0} ns", median(&cell.per_completed_ns)),
            format!("{:.0} ms", median(&cell.lengths_ns) / 1e6),
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
}

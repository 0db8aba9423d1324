//! `cargo xtask results`: a bench of this machine, kept in `docs/results` with its report, plots and tables.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context as _, ensure};

use crate::command::{Stages, command, release, root, run_folder};
use crate::interrupt;
use crate::privilege::as_root;

/// What is kept of the folder of the run: all of its figures, and none of its requests.
const KEPT: [&str; 5] = [
    "report.html",
    "analysis.json",
    "load.json",
    "manifest.json",
    "micro.json",
];

fn folder() -> PathBuf {
    root().join("docs/results")
}

/// Measures, and writes the folder anew but for what people have written there. Until everything is there, what was
/// there stays.
pub fn results(words: &[OsString], stages: &mut Stages) -> anyhow::Result<ExitCode> {
    // The files of an earlier run are the caller's, under sudo too.
    let run = run_folder("results")?;
    let said = stages.run("bench", || bench(&run, words))?;
    stages.run("results", || {
        let results = folder();
        fs::create_dir_all(&results)?;
        write(&results.join("output.txt"), &said)?;
        for name in KEPT {
            let text = fs::read_to_string(run.join(name))
                .with_context(|| format!("the run has no {name}"))?;
            write(&results.join(name), &text)?;
        }
        let mut report = command(release().join("probe-user"));
        report.arg("report").arg(&run);
        report.arg("--svg").arg(results.join("plots"));
        let estimates = printed(report.arg("--markdown"))?;
        write(&results.join("estimates.md"), &estimates)
    })?;
    eprintln!(
        "docs/results/README.md reads an earlier run; cargo test -p xtask results:: names its figures that are not of this one"
    );
    Ok(ExitCode::SUCCESS)
}

/// Runs the bench; returns what it says.
fn bench(out: &Path, words: &[OsString]) -> anyhow::Result<String> {
    let mut bench = as_root(release().join("probe-user"));
    bench
        .args(["bench", "--ladder", "--out"])
        .arg(out)
        .args(words);
    interrupt::left_to_the_child(|| printed(&mut bench))?
}

/// What a command prints; progress and warnings are for whoever waits.
fn printed(command: &mut Command) -> anyhow::Result<String> {
    let output = command.stderr(Stdio::inherit()).output();
    let output = output.with_context(|| format!("cannot start {command:?}"))?;
    ensure!(
        output.status.success(),
        "{command:?} failed ({}); docs/results is as it was",
        output.status
    );
    Ok(String::from_utf8(output.stdout)?)
}

/// Writes a file of the results. Where the repository lies on this machine is nobody's business: paths begin at its root.
fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    let root = format!("{}/", root().display());
    fs::write(path, text.replace(&root, ""))
        .with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers with their units, as in "114 ns".
    fn figures(text: &str) -> Vec<String> {
        let words: Vec<&str> = text.split_whitespace().collect();
        let pairs = words.windows(2);
        let figures = pairs.filter_map(|pair| {
            let number = pair[0].trim_start_matches(['[', '(']);
            let unit = pair[1].trim_end_matches(['.', ',', ';', ':', ')', ']']);
            let is_figure = number
                .starts_with(|first: char| first.is_ascii_digit() || first == '-')
                && ["ns", "µs", "%"].contains(&unit);
            is_figure.then(|| format!("{number} {unit}"))
        });
        figures.collect()
    }

    #[test]
    fn figures_are_numbers_with_units() {
        let text = "of 2 cores, 114 ns [-2 ns, 13.1 µs]: 95 %.";
        assert_eq!(figures(text), ["114 ns", "-2 ns", "13.1 µs", "95 %"]);
    }

    /// The reading is written by hand. What it says must be of the run that lies beside it.
    #[test]
    fn the_reading_has_figures_of_this_run_only() {
        let read = |name: &str| fs::read_to_string(folder().join(name)).unwrap();
        let of_the_run = read("estimates.md").replace('\u{2212}', "-") + &read("output.txt");
        let read_out = figures(&read("README.md"));
        assert!(read_out.len() >= 5, "{read_out:?}");
        for figure in read_out {
            assert!(of_the_run.contains(&figure), "{figure} is not of the run");
        }
    }
}

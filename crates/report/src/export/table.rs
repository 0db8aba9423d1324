//! The estimates of runs as one table.

use std::fmt::Write as _;

use runlog::estimate::{Estimate, Unit};
use runlog::quantity::Print;

use crate::format::typeset;
use crate::run::Run;
use crate::section::{Line, calibration, layers, shifts, slices, trial};

/// The columns of the CSV.
const COLUMNS: [&str; 9] = [
    "run",
    "what",
    "estimate",
    "ci95_low",
    "ci95_high",
    "unit",
    "blocks",
    "estimand",
    "method",
];

fn lines(run: &Run) -> Vec<Line<'_>> {
    let mut lines = Vec::new();
    if let Some(analysis) = run.analysed() {
        lines.extend(layers::lines(analysis));
        let effect = analysis.probe_effect.as_ref();
        lines.extend(Line::of(
            "Probe effect",
            "analysis.json#/probe_effect",
            effect,
        ));
        let found = analysis.trial.as_deref();
        let of_slices = found.and_then(|found| found.slices.as_deref());
        lines.extend(of_slices.into_iter().flat_map(slices::lines));
        lines.extend(found.into_iter().flat_map(trial::lines));
    }
    if let Ok(comparisons) = &run.comparisons {
        lines.extend(shifts::lines(comparisons));
    }
    lines.extend(calibration::lines(run));
    lines
}

fn unit(unit: Unit) -> &'static str {
    match unit {
        Unit::Ns => "ns",
        Unit::Ms => "ms",
        Unit::Calls => "calls",
        Unit::Bytes => "bytes",
        Unit::One => "1",
    }
}

/// As CSV (RFC 4180, with a header), numbers as they are in the files.
///
/// # Errors
/// None: it is written to memory.
pub fn csv(runs: &[Run]) -> Result<String, csv::Error> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(COLUMNS)?;
    for run in runs {
        for Line { name, estimate, .. } in lines(run) {
            let Estimate {
                ci95: [low, high], ..
            } = estimate;
            writer.write_record([
                &run.name(),
                &name,
                &estimate.estimate.to_string(),
                &low.to_string(),
                &high.to_string(),
                unit(estimate.unit),
                &estimate.blocks.to_string(),
                &estimate.estimand,
                &estimate.method,
            ])?;
        }
    }
    let bytes = writer
        .into_inner()
        .map_err(|error| csv::Error::from(error.into_error()))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// As a table of Markdown (GitHub's), numbers rounded.
pub fn markdown(runs: &[Run]) -> String {
    let mut text = String::from(
        "| run | what | estimate | 95 % interval | blocks |\n|---|---|---:|---:|---:|\n",
    );
    for run in runs {
        for Line { name, estimate, .. } in lines(run) {
            let print = Print::estimate(estimate);
            let number = |value: f64| typeset(&print.text(value));
            let [low, high] = estimate.ci95.map(number);
            let _ = writeln!(
                text,
                "| {} | {} | {} | [{low}, {high}] | {} |",
                cell(&run.name()),
                cell(&name),
                number(estimate.estimate),
                estimate.blocks
            );
        }
    }
    text
}

/// A text that cannot end its cell.
fn cell(text: &str) -> String {
    text.replace('\\', "\\\\")
        .replace('|', "\\|")
        .replace(['\n', '\r'], " ")
}

//! The table of `probe-user validate truth`.

use cli::outln;
use runlog::RunDirectory;
use runlog::estimate::Estimate;
use runlog::truth::{Coverage, Truth};
use verdict::doubt::Doubt;

use crate::show::{BAD, GOOD, cells, cells_or_dash, heading, ledger, ns, table};

const MACRO: &str = "macro";

/// Prints a comparison of injected and measured delays.
pub fn print(truth: &Truth, run: &RunDirectory) {
    heading("delays that the hook was told to make, and what was measured");
    let header = [
        "injected",
        "layer",
        "measured",
        "95 % interval",
        "error",
        "allowed",
        "holds",
        "arm",
    ];
    let mut table = table(&header, 2);
    for found in &truth.delays {
        let injected = found.injected_ns as f64;
        let layers = [
            ("in situ", &found.in_situ, found.in_situ_tolerance_ns),
            (MACRO, &found.macro_, found.macro_tolerance_ns),
        ];
        for (layer, estimate, tolerance) in layers {
            let error = |estimate: &Estimate| estimate.estimate - injected;
            let [measured, interval, _] = cells_or_dash(estimate.as_ref());
            let holds = match estimate {
                Some(found) if error(found).abs() <= tolerance => "yes",
                Some(found) if layer == MACRO && found.reaches(injected, tolerance) => "unresolved",
                _ => "NO",
            };
            table.add_row([
                ns(injected),
                layer.to_owned(),
                measured,
                interval,
                estimate
                    .as_ref()
                    .map_or_else(String::new, |found| ns(error(found))),
                ns(tolerance),
                holds.to_owned(),
                found.arm.clone(),
            ]);
        }
    }
    outln!("{table}");
    outln!(
        "the names of the arms say nothing; estimates were written to {} before the key was looked at",
        run.truth_blind().display()
    );
    let undetected: Vec<String> = truth
        .delays
        .iter()
        .filter(|found| !found.macro_detects)
        .map(|found| ns(found.injected_ns as f64))
        .collect();
    if undetected.is_empty() {
        outln!("the macro layer detects every delay of this run");
    } else {
        outln!("the macro layer does not detect {}", undetected.join(", "));
    }
    if let Some(detectable) = &truth.detectable {
        outln!(
            "within {:.1} s of load (of two arms) it detects {} with a probability of {:.0} %: {}",
            detectable.load_seconds,
            ns(detectable.ns),
            100.0 * detectable.power,
            detectable.method
        );
    }
    if let Some(counts) = &truth.ledger {
        ledger(counts);
    }
    outln!("\nwritten to {}", run.root().display());
    match (&truth.cut_short, truth.holds) {
        (Some(reason), _) => outln!("{BAD}cut short{BAD:#}: {reason}"),
        (None, true) => outln!(
            "{GOOD}every delay was found{GOOD:#}, end to end as far as intervals tell (unresolved: they are wider than \
             what is allowed)"
        ),
        (None, false) if truth.ledger.as_ref().is_some_and(|ledger| !ledger.balanced) => {
            outln!("{BAD}not usable{BAD:#}: {}", Doubt::Unbalanced);
        }
        (None, false) => outln!("{BAD}not every delay was found{BAD:#}"),
    }
}

/// Prints how often the macro intervals of short runs hold what was injected.
pub fn print_coverage(coverage: &Coverage, run: &RunDirectory) {
    heading(format!(
        "short runs of one delay each, order {}: is it in the macro interval?",
        coverage.order
    ));
    let mut table = table(
        &["run", "injected", "macro", "95 % interval", "holds it"],
        0,
    );
    for run in &coverage.runs {
        let [measured, interval, _] = cells(&run.macro_);
        table.add_row([
            run.run.to_string(),
            ns(run.injected_ns as f64),
            measured,
            interval,
            if run.covers { "yes" } else { "MISSED" }.to_owned(),
        ]);
    }
    outln!("{table}");
    outln!(
        "{} of {} intervals miss the delay; {} may",
        coverage.missed,
        coverage.runs.len(),
        coverage.allowed
    );
    outln!("written to {}", run.root().display());
    if let Some(reason) = &coverage.cut_short {
        outln!("{BAD}cut short{BAD:#}: {reason}");
    } else if coverage.holds {
        outln!("{GOOD}the intervals hold what their 95 % promise{GOOD:#}");
    } else {
        outln!("{BAD}the intervals are too narrow{BAD:#}");
    }
}

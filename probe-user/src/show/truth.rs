//! The table of `probe-user truth`.

use runlog::RunDirectory;
use runlog::estimate::Estimate;
use runlog::truth::Truth;

use crate::show::{BAD, GOOD, cells, heading, ledger, ns, table};

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
    ];
    let mut table = table(&header, 2);
    for found in &truth.delays {
        let injected = found.injected_ns as f64;
        let layers = [
            ("in situ", &found.in_situ, found.in_situ_tolerance_ns),
            ("macro", &found.macro_, found.macro_tolerance_ns),
        ];
        for (layer, estimate, tolerance) in layers {
            let error = |estimate: &Estimate| estimate.estimate - injected;
            let [measured, interval, _] = estimate
                .as_ref()
                .map_or_else(|| ["-".to_owned(), String::new(), String::new()], cells);
            let holds = estimate
                .as_ref()
                .is_some_and(|found| error(found).abs() <= tolerance);
            table.add_row([
                ns(injected),
                layer.to_owned(),
                measured,
                interval,
                estimate
                    .as_ref()
                    .map_or_else(String::new, |found| ns(error(found))),
                ns(tolerance),
                if holds { "yes" } else { "NO" }.to_owned(),
            ]);
        }
    }
    println!("{table}");
    if let Some(counts) = &truth.ledger {
        ledger(counts);
    }
    println!("\nwritten to {}", run.root().display());
    match (&truth.cut_short, truth.holds) {
        (Some(reason), _) => anstream::println!("{BAD}cut short{BAD:#}: {reason}"),
        (None, true) => anstream::println!("{GOOD}every delay was found{GOOD:#}"),
        (None, false) if truth.ledger.as_ref().is_some_and(|ledger| !ledger.balanced) => {
            anstream::println!("{BAD}not usable{BAD:#}: the ledger does not balance");
        }
        (None, false) => anstream::println!("{BAD}not every delay was found{BAD:#}"),
    }
}

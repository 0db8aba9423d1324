//! The tables of `probe-user validate truth`.

use cli::outln;
use runlog::RunDirectory;
use runlog::estimate::Unit;
use runlog::truth::{Coverage, Finding, Seen, Truth};

use crate::show::{BAD, GOOD, UNSURE, cells, cells_or_dash, heading, ledger, ns, table, value};

/// Prints a comparison of injected and measured delays.
pub fn print(truth: &Truth, run: &RunDirectory) {
    heading("delays behind the hook, and what was measured of them");
    let header = [
        "asked for",
        "lasted",
        "layer",
        "measured",
        "95 % interval",
        "error",
        "allowed",
        "",
        "arm",
    ];
    let mut table = table(&header, 0);
    for delay in &truth.delays {
        for (layer, seen) in delay.layers() {
            let start = [ns(delay.asked_ns as f64), ns(seen.truth), layer.to_owned()];
            let row = start.into_iter().chain(of_seen(seen, Unit::Ns));
            table.add_row(row.chain([delay.arm.clone()]));
        }
    }
    let start = ["slope".to_owned(), "1".to_owned(), "macro".to_owned()];
    table.add_row(start.into_iter().chain(of_seen(&truth.slope, Unit::One)));
    outln!("{table}");
    if truth.delays.iter().any(|delay| !delay.is_measured) {
        outln!("{UNSURE}some delays were not measured: what was asked for stands in{UNSURE:#}");
    }
    outln!(
        "the names of the arms say nothing; estimates were written to {} before the key was looked at",
        run.truth_blind().display()
    );
    if let Some(detectable) = &truth.detectable {
        outln!(
            "end to end a run like this one detects {} with a probability of {:.0} %: {}",
            ns(detectable.ns),
            100.0 * detectable.power,
            detectable.method
        );
    }
    if let Some(counts) = &truth.ledger {
        ledger(counts);
    }
    for warning in &truth.warnings {
        outln!("{UNSURE}warning{UNSURE:#}: {warning}");
    }
    outln!("\nwritten to {}", run.root().display());
    conclude(truth);
}

fn conclude(truth: &Truth) {
    if let Some(reason) = &truth.cut_short {
        outln!("{BAD}cut short{BAD:#}: {reason}");
        return;
    }
    for reason in &truth.not_usable {
        outln!("{BAD}not usable{BAD:#}: {reason}");
    }
    if !truth.not_usable.is_empty() {
        return;
    }
    match truth.finding {
        Finding::Found => {
            outln!("{GOOD}every delay was found{GOOD:#}, in situ and end to end");
        }
        Finding::Missed => outln!(
            "{BAD}missed{BAD:#}: {}. Do not trust the other figures on this machine either",
            rows(truth, Finding::Missed)
        ),
        Finding::Unresolved => {
            let rows = rows(truth, Finding::Unresolved);
            outln!(
                "{UNSURE}not every delay could be seen{UNSURE:#}: {rows}. Nothing was missed, and this run proves nothing of \
                 these. More --requests and more --servers make intervals narrower, and so does a machine with nothing \
                 else to do (probe-user doctor)"
            );
        }
    }
}

/// Those of which this was found, in words.
fn rows(truth: &Truth, finding: Finding) -> String {
    let delays = truth.delays.iter().flat_map(|delay| {
        let layers = delay.layers();
        let layers = layers.filter(|(_, seen)| seen.finding == finding);
        layers.map(|(layer, _)| format!("{} {layer}", ns(delay.asked_ns as f64)))
    });
    let slope = (truth.slope.finding == finding).then(|| "the slope".to_owned());
    let rows: Vec<String> = delays.chain(slope).collect();
    if rows.is_empty() {
        "the shortest delay is below what such a run detects".to_owned()
    } else {
        rows.join(", ")
    }
}

/// Its cells: value, interval, error, what is allowed, and what was found.
fn of_seen(seen: &Seen, unit: Unit) -> [String; 5] {
    let [measured, interval, _] = cells_or_dash(seen.estimate.as_ref());
    let error = seen.estimate.as_ref().map_or_else(String::new, |found| {
        value(found.estimate - seen.truth, unit)
    });
    let finding = match seen.finding {
        Finding::Found => "found",
        Finding::Unresolved => "unresolved",
        Finding::Missed => "MISSED",
    };
    [
        measured,
        interval,
        error,
        value(seen.tolerance, unit),
        finding.to_owned(),
    ]
}

/// Prints how often the macro intervals of short runs hold what was injected.
pub fn print_coverage(coverage: &Coverage, run: &RunDirectory) {
    heading("short trials of one delay each: is it in the macro interval?");
    let mut table = table(
        &[
            "run",
            "asked for",
            "lasted",
            "macro",
            "95 % interval",
            "holds it",
        ],
        0,
    );
    for run in &coverage.runs {
        let [measured, interval, _] = cells(&run.macro_);
        table.add_row([
            run.run.to_string(),
            ns(run.asked_ns as f64),
            ns(run.lasted_ns),
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
        outln!("{GOOD}the intervals hold the delays as often as their 95 % promise{GOOD:#}");
    } else {
        outln!("{BAD}the intervals hold them less often than their 95 % promise{BAD:#}");
    }
}

//! The result for people.

use crate::table::{cells, table};

use crate::hook::result::Report;
use crate::result::print_missing;

/// Prints the tables.
pub fn print(report: &Report) {
    println!(
        "kernel {}, {}, {} rounds",
        report.kernel, report.cpu, report.rounds
    );
    println!(
        "\nns added to one read: mean over rounds of the difference of medians, 95 % interval"
    );
    let mut added_by_case = table(&["case", "bare", "added", "", "paper's adds", ""]);
    for found in &report.cases {
        let bare = stats::mean(&found.bare_ns).map_or_else(String::new, |ns| format!("{ns:.0} ns"));
        let mut row = vec![found.name.clone(), bare];
        let added = found.added_ns.map_or_else(Default::default, |added| {
            let digits = usize::from(added.estimate.abs() < 100.0);
            cells(added, digits, "")
        });
        row.extend(added);
        let times = found
            .paper_adds_times
            .map_or_else(Default::default, |times| cells(times, 1, " x"));
        row.extend(times);
        added_by_case.add_row(row);
    }
    println!("{added_by_case}");
    print_missing(&report.missing);
    println!("\ntargets");
    let mut targets = table(&["case", "target", "verdict"]);
    for found in &report.cases {
        for target in &found.targets {
            targets.add_row([&found.name, &target.what, target.verdict.words()]);
        }
    }
    println!("{targets}");
}

//! The result for people.

use comfy_table::{CellAlignment, Table, presets};

use crate::result::{Estimate, Report};

/// Prints the tables.
pub fn print(report: &Report) {
    println!(
        "kernel {}, {}, {} rounds",
        report.kernel, report.cpu, report.rounds
    );
    println!(
        "\nns added to one read: mean over rounds of the difference of medians, 95 % interval"
    );
    let mut table = table(&["case", "bare", "added", "", "paper's adds", ""]);
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
        table.add_row(row);
    }
    println!("{table}");
    for missing in &report.missing {
        println!("not measured: {}: {}", missing.name, missing.reason);
    }
    println!("\ntargets");
    let mut table = self::table(&["case", "target", "verdict"]);
    for found in &report.cases {
        for target in &found.targets {
            table.add_row([&found.name, &target.what, target.verdict.words()]);
        }
    }
    println!("{table}");
}

fn cells(value: Estimate, digits: usize, unit: &str) -> [String; 2] {
    let [low, high] = value.ci95;
    [
        format!("{:.digits$}{unit}", value.estimate),
        format!("[{low:.digits$}, {high:.digits$}]"),
    ]
}

/// An empty table; all columns but the first are numbers.
pub fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_header(header);
    for (index, column) in table.column_iter_mut().enumerate() {
        column.set_padding((0, 2));
        if index > 0 {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}

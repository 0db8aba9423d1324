//! The result for people.

use crate::table::{cells, table};

use crate::result::print_missing;
use crate::trace::result::{Figure, Report, State};
use crate::trace::states::{BARE_PAIR, EVERYTHING, NOTHING, PEER_PAIR, PEER_READ};

/// Prints the tables.
pub fn print(report: &Report) {
    println!("kernel {}, {} rounds", report.kernel, report.rounds);
    if let Some(nothing) = report.state(NOTHING) {
        println!(
            "with nothing observing: a traced read {}, a call of the function {}, an untraced read {}",
            mean(&nothing.traced_read),
            mean(&nothing.function_call),
            mean(&nothing.untraced_read)
        );
    }
    println!("\nns added to one call, by what observes: mean, 95 % interval");
    let mut table = table(&[
        "observer",
        "traced read",
        "",
        "function that begins with push",
        "",
        "untraced read",
        "",
    ]);
    for state in &report.states {
        let figures = [
            &state.traced_read,
            &state.function_call,
            &state.untraced_read,
        ];
        let mut row = vec![state.name.clone()];
        for figure in figures {
            row.extend(
                figure
                    .added_ns
                    .map_or_else(Default::default, |added| cells(added, 1, "")),
            );
        }
        if state.name != NOTHING {
            table.add_row(row);
        }
    }
    println!("{table}");
    print_ratios(report);
    print_missing(&report.missing);
    print_floods(report);
}

fn mean(figure: &Figure) -> String {
    let values: Vec<f64> = figure.took_ns.iter().flatten().copied().collect();
    stats::mean(&values).map_or_else(|| "-".to_owned(), |mean| format!("{mean:.1} ns"))
}

/// What all of ours costs, and how many times that the others take for one histogram of one function.
fn print_ratios(report: &Report) {
    let added = |name: &str, figure: fn(&State) -> &Figure| {
        let state = report.state(name)?;
        Some(figure(state).added_ns?.estimate)
    };
    let Some(ours_ns) = added(EVERYTHING, |state| &state.traced_read) else {
        return;
    };
    println!("\nall of it (sites, pair, histograms, records): {ours_ns:.0} ns a read");
    let function: fn(&State) -> &Figure = |state| &state.function_call;
    let read: fn(&State) -> &Figure = |state| &state.traced_read;
    for (name, figure) in [
        (PEER_PAIR, function),
        (BARE_PAIR, function),
        (PEER_READ, read),
    ] {
        if let Some(theirs_ns) = added(name, figure) {
            let times = theirs_ns / ours_ns;
            println!("{name}: {theirs_ns:.0} ns a call, {times:.2} times as much");
        }
    }
    println!(
        "(the first instruction of libc's read is single-stepped, which a virtual machine within another makes \
         many times dearer than hardware does)"
    );
}

fn print_floods(report: &Report) {
    if report.floods.is_empty() {
        return;
    }
    println!("\nrecords until the ring buffer drops");
    let mut table = table(&["threads", "pause", "reads/s", "records/s", "dropped"]);
    for flood in &report.floods {
        table.add_row([
            flood.threads.to_string(),
            format!("{} ns", flood.pause_ns),
            format!("{:.0}", flood.reads_per_s),
            format!("{:.0}", flood.records_per_s),
            flood.dropped.to_string(),
        ]);
    }
    println!("{table}");
}

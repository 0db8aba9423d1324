//! Results for people: tables on stdout. Colour only where stdout is a terminal; `cli::print` sees to it.

pub mod a_a;
pub mod bench;
pub mod budget;
pub mod calibration;
pub mod comparison;
pub mod doctor;
pub mod merge;
pub mod micro;
pub mod trace;
pub mod trial;
pub mod truth;

use std::collections::BTreeMap;
use std::fmt::Display;

use anstyle::{AnsiColor, Style};
use cli::outln;
use comfy_table::{CellAlignment, Table, presets};
use runlog::analysis::{ClockRelation, Clocks, Join, Ledger, ProgramRuns};
use runlog::estimate::Estimate;
use runlog::manifest::Environment;
use runlog::quantity::{self, ns, value};

/// Headings.
const HEADING: Style = Style::new().bold();
/// Something to worry about.
const BAD: Style = AnsiColor::Red.on_default().bold();
/// Something to know of.
const UNSURE: Style = AnsiColor::Yellow.on_default();
/// All is well.
const GOOD: Style = AnsiColor::Green.on_default();

/// A table without lines, its first `left` columns flush left and the others flush right.
fn table(header: &[&str], left: usize) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_header(header);
    for (index, column) in table.column_iter_mut().enumerate() {
        column.set_padding((0, 2));
        if index >= left {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}

fn heading(text: impl Display) {
    outln!("\n{HEADING}{text}{HEADING:#}");
}

/// A line about the machine.
fn machine(environment: &Environment) {
    let virtual_machine = if environment.virtual_machine {
        ", virtual machine"
    } else {
        ""
    };
    outln!(
        "kernel {} {}, {} × {}{virtual_machine}; clock {}, {:.1} ns a read",
        environment.kernel,
        environment.architecture,
        environment.cpus,
        environment.cpu_model,
        environment.clock_source,
        environment.clock_read_ns,
    );
}

/// Values separated by commas.
pub fn list<T: Display>(values: &[T]) -> String {
    let texts: Vec<String> = values.iter().map(ToString::to_string).collect();
    texts.join(", ")
}

/// The cells of an estimate: value, interval, blocks.
fn cells(estimate: &Estimate) -> [String; 3] {
    let [value, interval] = quantity::estimate(estimate);
    [value, interval, estimate.blocks.to_string()]
}

/// The same, of what may not have been estimated.
fn cells_or_dash(estimate: Option<&Estimate>) -> [String; 3] {
    estimate.map_or_else(|| ["-".to_owned(), String::new(), String::new()], cells)
}

/// What there may be, in words; a dash for nothing.
fn or_dash<T>(found: Option<T>, words: impl FnOnce(T) -> String) -> String {
    found.map_or_else(|| "-".to_owned(), words)
}

/// Prints the ledger.
fn ledger(ledger: &Ledger) {
    let verdict = if ledger.balanced {
        format!("{GOOD}balances{GOOD:#}")
    } else {
        format!("{BAD}does not balance: do not use this result{BAD:#}")
    };
    heading(format!("ledger: {verdict}"));
    let header = [
        "probe",
        "hits",
        "recorded",
        "dropped",
        "unpaired",
        "in flight",
    ];
    let mut table = table(&header, 1);
    for (name, row) in &ledger.probes {
        let counts = [
            row.hits,
            row.recorded,
            row.dropped,
            row.unpaired,
            row.in_flight,
        ];
        table.add_row(
            [name.clone()]
                .into_iter()
                .chain(counts.map(|count| count.to_string())),
        );
    }
    outln!("{table}");
    if ledger.records_written > 0 || ledger.records_received > 0 {
        outln!(
            "records: {} written by the kernel, {} received",
            ledger.records_written,
            ledger.records_received
        );
    }
    for (cause, count) in &ledger.causes {
        outln!("{count} × {cause}");
    }
    programs(&ledger.programs);
    if ledger.hits_of_other_processes > 0 {
        outln!(
            "{} hits by processes that are not traced (children, or others with the same hook or \
             function)",
            ledger.hits_of_other_processes
        );
    }
}

/// Prints what the kernel says of the programs.
fn programs(programs: &BTreeMap<String, ProgramRuns>) {
    if programs.is_empty() {
        return;
    }
    let mut table = table(&["program", "runs", "mean run", "recursion misses"], 1);
    for (name, program) in programs {
        let mean = or_dash(program.runs.zip(program.run_time_ns), |(runs, time_ns)| {
            ns(time_ns as f64 / runs as f64)
        });
        table.add_row([
            name.clone(),
            or_dash(program.runs, |runs| runs.to_string()),
            mean,
            program.recursion_misses.to_string(),
        ]);
    }
    outln!("{table}");
}

/// Prints the join.
pub fn join(join: &Join) {
    let share = if join.requests == 0 {
        0.0
    } else {
        100.0 * join.matched as f64 / join.requests as f64
    };
    heading("join of records to requests");
    outln!(
        "{} of {} requests matched ({share:.3} %)",
        join.matched,
        join.requests
    );
    for (cause, count) in &join.unmatched {
        outln!("{count} × {cause}");
    }
    outln!(
        "{} matched requests have reads outside of [sent, done]; {} reads belong to no logged request; \
         {} ended after the response",
        join.outside_sent_done,
        join.reads_without_request,
        join.reads_after_done
    );
    for (count, what) in [
        (
            join.outside_attach,
            "requests were sent before the probes were attached, or answered after they were detached",
        ),
        (
            join.shared,
            "matched requests share a read with another (pipelining)",
        ),
        (
            join.waited_for,
            "matched requests found the server waiting inside read(2); the wait is no part of them",
        ),
        (
            join.connections.by_content,
            "connections were recognised by bytes and times, not by their port",
        ),
        (
            join.connections.unmatched,
            "connections were not recognised",
        ),
    ] {
        if count > 0 {
            outln!("{count} {what}");
        }
    }
    if let Some(clocks) = &join.clocks {
        outln!("{}", describe_clocks(clocks));
    }
}

fn describe_clocks(clocks: &Clocks) -> String {
    let Clocks {
        relation,
        offset_ns,
        bound_ns,
        drift_ns,
    } = *clocks;
    let bound = ns(bound_ns);
    let text = match relation {
        ClockRelation::One => format!("clocks: one; {bound} between them would go unnoticed"),
        ClockRelation::AssumedOne => format!(
            "clocks: not written down, and the same as far as can be told; {bound} between them would go \
             unnoticed"
        ),
        ClockRelation::Two | ClockRelation::AssumedTwo => format!(
            "clocks: two; the server's is {} {} the client's, ± {bound} (estimated)",
            ns(offset_ns.abs()),
            if offset_ns < 0.0 {
                "behind"
            } else {
                "ahead of"
            },
        ),
    };
    if drift_ns > 0.0 {
        return format!("{text}; they drifted apart by {} at least", ns(drift_ns));
    }
    text
}

//! The result for people.

use crate::estimate::Estimate;
use crate::table::{cells, table};

use crate::load::result::{Figure, Report};
use crate::result::print_missing;

/// Prints the tables.
pub fn print(report: &Report) {
    println!(
        "kernel {}, {}; {}",
        report.kernel,
        report.cpu,
        report.programs.join(", ")
    );
    println!(
        "rounds: {}, of {} s each; means over rounds and 95 % intervals",
        report.rounds, report.seconds
    );
    if report.cut_short {
        println!("CUT SHORT: a round that was not ended is left out");
    }
    print_speed(report);
    print_fidelity(report);
    print_missing(&report.missing);
    if !report.targets.is_empty() {
        println!("\ntargets");
        let mut table = table(&["target", "verdict"]);
        for target in &report.targets {
            table.add_row([&target.what, target.verdict.words()]);
        }
        println!("{table}");
    }
}

fn print_speed(report: &Report) {
    let mut loads: Vec<_> = Vec::new();
    for speed in &report.speed {
        let load = (speed.placement, speed.connections);
        if !loads.contains(&load) {
            loads.push(load);
        }
    }
    for (placement, connections) in loads {
        println!("\nspeed: {placement}, connections: {connections}");
        let mut table = table(&[
            "generator",
            "requests/s",
            "",
            "ours",
            "",
            "p50 µs",
            "p99 µs",
            "CPU µs/request",
            "errors",
        ]);
        let of_load = report
            .speed
            .iter()
            .filter(|speed| (speed.placement, speed.connections) == (placement, connections));
        for speed in of_load {
            let mut row = vec![speed.generator.clone()];
            row.extend(optional(speed.requests_per_second.mean, 1.0, 0, ""));
            row.extend(optional(speed.ours_times, 1.0, 2, " x"));
            row.push(mean(&speed.p50_ns));
            row.push(mean(&speed.p99_ns));
            row.push(mean(&speed.cpu_ns_per_request));
            row.push(speed.errors.to_string());
            table.add_row(row);
        }
        println!("{table}");
    }
}

fn print_fidelity(report: &Report) {
    if report.fidelity.is_empty() {
        return;
    }
    println!(
        "\nfidelity: one core, connections: 1; medians in µs, as the generator says and at its sockets"
    );
    let mut table = table(&[
        "generator",
        "says",
        "sockets",
        "error",
        "",
        "error of p99",
        "ours is further by",
        "",
        "probes add",
        "",
        "requests",
        "round trips",
    ]);
    for fidelity in &report.fidelity {
        let mut row = vec![fidelity.generator.clone()];
        row.push(mean(&fidelity.said_ns));
        row.push(mean(&fidelity.socket_ns));
        row.extend(optional(fidelity.error_ns.mean, 1e3, 2, ""));
        row.push(mean(&fidelity.p99_error_ns));
        row.extend(optional(fidelity.ours_further_ns, 1e3, 2, ""));
        row.extend(optional(fidelity.probe_effect_ns.mean, 1e3, 2, ""));
        row.push(fidelity.requests.to_string());
        row.push(fidelity.round_trips.to_string());
        table.add_row(row);
    }
    println!("{table}");
}

/// A mean in µs.
fn mean(figure_ns: &Figure) -> String {
    let mean = stats::mean(&figure_ns.by_round);
    mean.map_or_else(String::new, |ns| format!("{:.2}", ns / 1e3))
}

fn optional(value: Option<Estimate>, unit: f64, digits: usize, name: &str) -> [String; 2] {
    value.map_or_else(Default::default, |value| {
        let value = Estimate {
            estimate: value.estimate / unit,
            ci95: value.ci95.map(|end| end / unit),
        };
        cells(value, digits, name)
    })
}

//! What each ns of a delay costs the mean response time in an open loop, beside a queue that is simulated with measured service
//! times.
//!
//! Server and load generator have a core each, and the server is by far the slower one: so it is the only place where
//! requests queue.

use std::path::Path;
use std::process::ExitCode;

use anyhow::Context as _;
use comfy_table::{Table, presets};
use serde_json::Value;

use crate::command::{command, output, release, run_folder};
use crate::series::{bench, number};
use crate::slices::SHORT_MICRO;

/// Shares of the capacity, and how each is measured.
///
/// A delay is as long as its own load allows: what it does to the mean must stand out of what a hypervisor does that takes a CPU away
/// for milliseconds. So slices are short as well, and most rounds have none of that. Near capacity a queue takes long to forget, some
/// 10 ms at 90 %: slices are longer there, or the trimmed mean of their skewed means would be too low.
const LOADS: [(f64, [&str; 3]); 3] = [
    (0.3, ["--slice=50ms", "--delays=40000", "--duration=50"]),
    (0.6, ["--slice=50ms", "--delays=20000", "--duration=80"]),
    (0.9, ["--slice=500ms", "--delays=6000", "--duration=300"]),
];
/// What the server does for each request. A busy server is faster with the rest of it, and a queue whose service times depend on its
/// length is another one: with 20 µs of work here, a request took 43 µs at 30 % and 30 µs at 90 %.
const WORK: &str = "--path=/work?us=100";
/// The measured amplification is so near to the simulated one, as a share of this.
const WITHIN: f64 = 0.15;

/// Fails where an amplification is not that of the simulated queue.
pub fn prove() -> anyhow::Result<ExitCode> {
    let saturated = run_folder("slices-saturated")?;
    trial(
        &saturated,
        &["--slice=auto", "--duration=8", "--connections=32"],
    )?;
    let capacity = number(&queue(&saturated, None)?, "/capacity")?;
    println!("the server completes {capacity:.0} requests per second without a pause");
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_header([
        "load",
        "requests/s",
        "service time",
        "measured",
        "95 %",
        "simulated",
        "measured / simulated",
        "with service times at saturation",
    ]);
    let mut is_near = true;
    for (load, options) in LOADS {
        let rate = load * capacity;
        let out = run_folder("slices-open")?;
        let rate_word = format!("--rate={rate}");
        let words = ["--connections=64", &rate_word];
        let analysis = trial(&out, &[&options[..], &words].concat())?;
        let found = &analysis["trial"]["slices"]["responses"]["mean"]["slope"];
        let own = queue(&out, Some(rate))?;
        let of_saturated = queue(&saturated, Some(rate))?;
        let [measured, simulated] = [number(found, "/estimate")?, number(&own, "/slope")?];
        eprintln!("{load} of capacity: measured {measured:.2}, simulated {simulated:.2}");
        is_near &= is_within(measured, simulated);
        table.add_row([
            format!("{:.0} %", 100.0 * load),
            format!("{rate:.0}"),
            format!("{:.2} µs", number(&own, "/service_ns/0")? / 1e3),
            format!("{measured:.2}"),
            format!(
                "[{:.2}, {:.2}]",
                number(found, "/ci95/0")?,
                number(found, "/ci95/1")?
            ),
            format!("{simulated:.2}"),
            format!("{:.2}", measured / simulated),
            format!("{:.2}", number(&of_saturated, "/slope")?),
        ]);
        if let Some(reasons) = analysis["not_usable"]
            .as_array()
            .filter(|of| !of.is_empty())
        {
            println!("at {:.0} %: {reasons:?}", 100.0 * load);
        }
    }
    println!("{table}");
    Ok(if is_near {
        ExitCode::SUCCESS
    } else {
        println!(
            "an amplification is not within {:.0} % of the simulated one",
            100.0 * WITHIN
        );
        ExitCode::FAILURE
    })
}

fn is_within(measured: f64, simulated: f64) -> bool {
    (measured / simulated - 1.0).abs() <= WITHIN
}

/// A trial of one server. Server and load generator do not compete for a core, and
/// with the usual scheduling neither waits long for a neighbour that is on its own.
fn trial(out: &Path, more: &[&str]) -> anyhow::Result<Value> {
    let always = [
        "--placement=two-cores",
        "--scheduling=fair",
        WORK,
        "--servers=1",
    ];
    bench(out, &[&always, &SHORT_MICRO[..], more].concat())
}

/// The queue that has a run's service times.
fn queue(run: &Path, rate: Option<f64>) -> anyhow::Result<Value> {
    let mut queue = command(release().join("bench"));
    queue.arg("queue").arg(run);
    queue.args(rate.map(|rate| format!("--rate={rate}")));
    serde_json::from_slice(&output(&mut queue)?.stdout).context("the output of bench queue")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_is_within_a_share_of_what_is_simulated() {
        assert!(is_within(8.6, 10.0) && is_within(11.4, 10.0));
        assert!(!is_within(8.4, 10.0) && !is_within(11.6, 10.0) && !is_within(f64::NAN, 10.0));
    }
}

//! A page about one run, to read and to print: a single file without scripts.
//!
//! A run that was analysed has a `report.html` of its own, which is shown instead.

use std::fmt::Write as _;

use indicatif::{HumanCount, HumanFloatCount};
use maud::{DOCTYPE, Markup, PreEscaped, html};
use runlog::load_api::{Run, RunState};
use runlog::summary::{ArmLoad, LoadSummary, Pacer};
use runlog::{RunDirectory, interval_log};

/// The report of a run that is over.
pub fn of(run: &Run, directory: &RunDirectory) -> String {
    let analysed = directory.root().join("report.html");
    if let Ok(page) = std::fs::read_to_string(analysed) {
        return page;
    }
    page(run, directory).into_string()
}

fn page(run: &Run, directory: &RunDirectory) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (run.id) " – loadgen" }
                style { (PreEscaped(include_str!("page/report.css"))) }
            }
            body {
                h1 { "Load " (run.id) }
                p class="state" {
                    (outcome(run.state))
                    @if let Some(reason) = &run.reason { ": " (reason) }
                }
                @match &run.summary {
                    Some(summary) => (results(summary, directory)),
                    None => p { "There is no summary." },
                }
            }
        }
    }
}

fn outcome(state: RunState) -> &'static str {
    match state {
        RunState::Complete => "Ran to its end",
        RunState::CutShort => "Cut short",
        RunState::Failed => "Failed",
        RunState::Running | RunState::Stopping => "Under way",
    }
}

fn results(summary: &LoadSummary, directory: &RunDirectory) -> Markup {
    let schedule = &summary.schedule;
    let distributions: Vec<(&str, Vec<(f64, f64)>)> = summary
        .arms
        .iter()
        .map(|arm| (arm.name.as_str(), quantiles(arm, directory)))
        .collect();
    html! {
        h2 { "Response times" }
        table {
            thead { tr {
                th scope="col" { "Arm" }
                @for name in ["Requests", "Errors", "Requests/s", "Mean", "p50", "p90", "p99", "p99.9", "Max"] {
                    th scope="col" { (name) }
                }
            } }
            tbody { @for (index, arm) in summary.arms.iter().enumerate() { (row(index, arm)) } }
        }
        @for arm in &summary.arms {
            @if let Some(mark) = arm.pacer.as_ref().and_then(Pacer::mark) {
                p class="state" { "Arm " (arm.name) ": " (mark) }
            }
        }
        p class="note" {
            "Response times in µs, of requests that succeeded. Warm-up is left out. Quantiles carry the \
             histogram's error of at most 0.8 %."
        }
        @if summary.arms.iter().any(|arm| arm.errors > 0) { (errors(summary)) }
        h2 { "Response time by percentile" }
        (chart(&distributions))
        h2 { "How it was measured" }
        dl {
            dt { "Started" } dd { (started(summary)) }
            dt { "Order of blocks" } dd { (schedule.order) ", seed " (schedule.seed) }
            dt { "Connections" } dd { (schedule.connections) }
            dt { "Requests per arm" } dd { (grouped(schedule.requests_per_cell)) " in " (schedule.blocks_per_cell) " blocks" }
            dt { "Warm-up" } dd { (grouped(schedule.warmup_requests)) " requests per arm" }
            @for arm in &summary.arms { dt { "Arm " (arm.name) } dd { (arm.url) } }
            dt { "Folder" } dd { (directory.root().display()) }
            dt { "Version" } dd { "loadgen " (env!("CARGO_PKG_VERSION")) }
        }
    }
}

fn row(index: usize, arm: &ArmLoad) -> Markup {
    html! {
        tr {
            th scope="row" { span class=(format!("swatch arm-{}", index % 6)) {} (arm.name) }
            td { (grouped(arm.requests)) }
            td { (grouped(arm.errors)) }
            td { (rate(arm.requests_per_second)) }
            @match &arm.latency_ns {
                Some(latency) => {
                    td { (us(latency.mean)) }
                    @for quantile in [latency.p50, latency.p90, latency.p99, latency.p999, latency.max] {
                        td { (us(quantile as f64)) }
                    }
                },
                None => td colspan="6" { "no request succeeded" },
            }
        }
    }
}

/// A count, with its thousands set apart.
fn grouped(count: u64) -> String {
    HumanCount(count).to_string()
}

fn rate(per_second: f64) -> String {
    HumanFloatCount(per_second.round()).to_string()
}

fn us(ns: f64) -> String {
    format!("{:.2}", ns / 1e3)
}

fn errors(summary: &LoadSummary) -> Markup {
    html! {
        h2 { "Errors" }
        table {
            thead { tr { th scope="col" { "Arm" } th scope="col" class="text" { "Kind" } th scope="col" { "Requests" } } }
            tbody {
                @for arm in &summary.arms {
                    @for (kind, count) in &arm.errors_by_kind {
                        tr { th scope="row" { (arm.name) } td class="text" { (kind) } td { (grouped(*count)) } }
                    }
                }
            }
        }
    }
}

fn started(summary: &LoadSummary) -> String {
    runlog::clock::utc(summary.started_unix_ns)
}

/// Quantiles of an arm's response times in µs, by the logarithm of what lies above: 0 is the minimum, 1 is
/// p90, 2 is p99.
fn quantiles(arm: &ArmLoad, directory: &RunDirectory) -> Vec<(f64, f64)> {
    let mut all = interval_log::new_histogram();
    for interval in interval_log::read(directory.interval_log(&arm.name)).unwrap_or_default() {
        if interval.has_response_times() {
            let _ = all.add(&interval.histogram);
        }
    }
    if all.is_empty() {
        return Vec::new();
    }
    // No further than there are requests: beyond lies the maximum, again and again.
    let nines = (all.len() as f64).log10().clamp(1.0, 6.0);
    let steps = 200;
    let largest = (nines, all.max() as f64 / 1e3);
    (0..steps)
        .map(|step| nines * f64::from(step) / f64::from(steps))
        .map(|nines| {
            let quantile = 1.0 - 10_f64.powf(-nines);
            (nines, all.value_at_quantile(quantile) as f64 / 1e3)
        })
        .chain([largest])
        .collect()
}

const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 300.0;
const LEFT: f64 = 70.0;
const BOTTOM: f64 = 30.0;
const TOP: f64 = 10.0;

/// Response time on a logarithmic axis over the percentile, a line an arm.
fn chart(lines: &[(&str, Vec<(f64, f64)>)]) -> Markup {
    let points = || lines.iter().flat_map(|(_, points)| points);
    let nines = points().map(|point| point.0).fold(1.0, f64::max);
    let low = points().map(|point| point.1).fold(f64::INFINITY, f64::min);
    let high = points().map(|point| point.1).fold(0.0, f64::max);
    if !(low > 0.0 && low.is_finite()) {
        return html! { p { "No request succeeded." } };
    }
    let (low, high) = (
        low.log10().floor(),
        high.log10().ceil().max(low.log10().floor() + 1.0),
    );
    let x = |value: f64| LEFT + (WIDTH - LEFT - 10.0) * value / nines;
    let y = |us: f64| {
        let share = (us.log10() - low) / (high - low);
        HEIGHT - BOTTOM - (HEIGHT - BOTTOM - TOP) * share
    };
    let decades = (0..)
        .map(|step| low + f64::from(step))
        .take_while(|decade| *decade <= high);
    let decades: Vec<f64> = decades.map(|decade| 10_f64.powf(decade)).collect();
    let percentiles = [
        "0 %",
        "90 %",
        "99 %",
        "99.9 %",
        "99.99 %",
        "99.999 %",
        "99.9999 %",
    ];
    html! {
        svg viewBox=(format!("0 0 {WIDTH} {HEIGHT}")) role="img" aria-label="Response time by percentile" {
            @for us in decades {
                line class="grid" x1=(LEFT) x2=(WIDTH - 10.0) y1=(y(us)) y2=(y(us)) {}
                text x=(LEFT - 8.0) y=(y(us) + 4.0) text-anchor="end" { (axis(us)) }
            }
            @for (place, text) in (0..).map(f64::from).zip(percentiles) {
                @if place <= nines {
                    text x=(x(place)) y=(HEIGHT - 8.0) text-anchor=(if place > 0.0 { "middle" } else { "start" }) { (text) }
                }
            }
            @for (index, (_, points)) in lines.iter().enumerate() {
                path class=(format!("line arm-{}", index % 6)) d=(path(points, x, y)) {}
            }
        }
        p class="legend" {
            @for (index, (name, _)) in lines.iter().enumerate() {
                span { span class=(format!("swatch arm-{}", index % 6)) {} (name) }
            }
        }
    }
}

fn axis(us: f64) -> String {
    if us < 1e3 {
        format!("{us} µs")
    } else if us < 1e6 {
        format!("{} ms", us / 1e3)
    } else {
        format!("{} s", us / 1e6)
    }
}

fn path(points: &[(f64, f64)], x: impl Fn(f64) -> f64, y: impl Fn(f64) -> f64) -> String {
    let mut text = String::new();
    for (index, (nines, us)) in points.iter().enumerate() {
        let pen = if index == 0 { 'M' } else { 'L' };
        let _ = write!(text, "{pen}{:.1} {:.1}", x(*nines), y(*us));
    }
    text
}

//! A page about one run, to read and to print: a single file without scripts.

use maud::{DOCTYPE, Markup, PreEscaped, html};
use runlog::agent_run::{AgentRun, ArmResult, RunResult, RunState};
use runlog::analysis::{Clocks, Join};
use runlog::clock::utc;

const STYLE: &str = include_str!("report.css");

/// The page of a run that is over.
pub fn of(run: &AgentRun) -> String {
    page(run).into_string()
}

fn page(run: &AgentRun) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (run.id) " – hookprobe" }
                style { (PreEscaped(STYLE)) }
            }
            body {
                h1 { "Run " (run.id) }
                p class="state" { (outcome(run)) " Started " (utc(run.started_unix_ns)) "." }
                @match &run.result {
                    Some(result) => (figures(result)),
                    None => p { "There is no result." },
                }
                (how(run))
            }
        }
    }
}

fn outcome(run: &AgentRun) -> String {
    let state = match run.state {
        RunState::Complete => "Complete",
        RunState::CutShort => "Cut short",
        RunState::Failed => "Failed",
        RunState::Recording | RunState::Joining => "Goes on",
    };
    match &run.reason {
        Some(reason) => format!("{state}: {reason}."),
        None => format!("{state}."),
    }
}

fn figures(result: &RunResult) -> Markup {
    html! {
        @if result.usable {
            p { "All requests to hooked servers are joined to their reads, and the ledgers balance." }
        } @else {
            p class="doubt" { "Not usable without care:" }
            ul { @for doubt in &result.doubts { li { (doubt) } } }
        }
        h2 { "Response times" }
        table {
            (head(&["Arm", "Requests", "Failed", "Mean µs", "p50", "p90", "p99", "p99.9", "Max"]))
            tbody { @for arm in &result.arms { (response_times(arm)) } }
        }
        h2 { "In the servers" }
        table {
            (head(&["Arm", "What", "Calls", "Mean µs", "p50", "p90", "p99", "p99.9", "Max"]))
            tbody { @for arm in &result.arms { (spans(arm)) } }
        }
        h2 { "Requests and reads" }
        table {
            (head(&["Arm", "Requests", "Joined", "Not joined", "Reads of no request", "Clocks"]))
            tbody { @for arm in &result.arms { (joined(arm)) } }
        }
        @for arm in &result.arms { @if let Some(join) = &arm.join { (causes(&arm.arm, join)) } }
        h2 { "Where every probe hit went" }
        table {
            (head(&["Arm", "Probe", "Hits", "Recorded", "Dropped", "Unpaired", "In flight", "Balances"]))
            tbody { @for arm in &result.arms { (ledger(arm)) } }
        }
        p class="note" { "Quantiles carry the histogram's error of at most 0.8 %." }
    }
}

fn head(names: &[&str]) -> Markup {
    html! { thead { tr { @for name in names { th scope="col" { (name) } } } } }
}

fn response_times(arm: &ArmResult) -> Markup {
    html! {
        tr {
            th scope="row" { (arm.arm) }
            td { (arm.requests) }
            td { (arm.errors) }
            @match &arm.latency_ns {
                Some(latency) => {
                    td { (us(latency.mean)) }
                    @for time in [latency.p50, latency.p90, latency.p99, latency.p999, latency.max] {
                        td { (us(time as f64)) }
                    }
                },
                None => td colspan="6" { "no request succeeded" },
            }
        }
    }
}

fn spans(arm: &ArmResult) -> Markup {
    html! {
        @for (kind, spans) in &arm.spans {
            tr {
                th scope="row" { (arm.arm) }
                td { (kind) }
                td { (spans.count) }
                td { (us(spans.mean_ns)) }
                @for time in [spans.p50_ns, spans.p90_ns, spans.p99_ns, spans.p999_ns, spans.max_ns] {
                    td { (us(time as f64)) }
                }
            }
        }
    }
}

fn joined(arm: &ArmResult) -> Markup {
    html! {
        tr {
            th scope="row" { (arm.arm) }
            @match &arm.join {
                Some(join) => {
                    td { (join.requests) }
                    td { (join.matched) }
                    td { (join.requests - join.matched) }
                    td { (join.reads_without_request) }
                    td { (join.clocks.map_or("not known".to_owned(), clocks)) }
                },
                None => td colspan="5" { "no hook: nothing to join" },
            }
        }
    }
}

fn clocks(clocks: Clocks) -> String {
    use runlog::analysis::ClockRelation::{AssumedOne, AssumedTwo, One, Two};
    match clocks.relation {
        One | AssumedOne => format!("one, within {} µs", us(clocks.bound_ns)),
        Two | AssumedTwo => format!(
            "two, {} ms apart, within {} µs",
            clocks.offset_ns / 1e6,
            us(clocks.bound_ns)
        ),
    }
}

fn causes(arm: &str, join: &Join) -> Markup {
    html! {
        @for (cause, count) in &join.unmatched {
            p class="note" { (arm) ": " (count) " requests are not joined: " (cause) }
        }
    }
}

fn ledger(arm: &ArmResult) -> Markup {
    let ledger = &arm.ledger;
    html! {
        @for (probe, row) in &ledger.probes {
            tr {
                th scope="row" { (arm.arm) }
                td { (probe) }
                @for count in [row.hits, row.recorded, row.dropped, row.unpaired, row.in_flight] {
                    td { (count) }
                }
                td { (if row.is_balanced() { "yes" } else { "no" }) }
            }
        }
        @if !ledger.balanced {
            tr { td colspan="8" class="doubt" { "The ledger of " (arm.arm) " does not balance." } }
        }
    }
}

fn how(run: &AgentRun) -> Markup {
    let schedule = &run.announced.schedule;
    html! {
        h2 { "How it was measured" }
        dl {
            dt { "Order of blocks" } dd { (schedule.order) ", seed " (schedule.seed) }
            dt { "Connections" } dd { (schedule.connections) }
            dt { "Blocks per arm" } dd { (schedule.blocks_per_cell) }
            @for arm in &run.announced.arms { dt { "Arm " (arm.name) } dd { (arm.url) } }
            dt { "Version" } dd { "probe-user " (env!("CARGO_PKG_VERSION")) }
        }
    }
}

fn us(ns: f64) -> String {
    format!("{:.2}", ns / 1e3)
}

//! Where every probe hit and every request went.

use maud::{Markup, html};
use runlog::analysis::{Analysis, ClockRelation, Join, Ledger};

use super::{missing, table};
use crate::format::{count_figure, figure, ns};
use crate::run::Run;

/// Ledger, join and failures.
pub fn body(run: &Run) -> Markup {
    let analysis = match &run.analysis {
        Ok(analysis) => analysis,
        Err(why) => return missing("No ledger:", why),
    };
    let no_probes = analysis
        .in_situ
        .missing
        .as_deref()
        .unwrap_or("there were no probes");
    html! {
        @match &analysis.ledger {
            Some(ledger) => { (hits("analysis.json#/ledger", ledger)) },
            None => { (missing("No ledger:", no_probes)) },
        }
        @match &analysis.join {
            Some(join) => { (joined("analysis.json#/join", join)) },
            None => { (missing("Nothing was joined:", no_probes)) },
        }
        (requests(analysis))
    }
}

/// Where every probe hit went.
pub fn hits(at: &str, ledger: &Ledger) -> Markup {
    html! {
        p {
            @if ledger.balanced {
                span class="state good" { "balances" } " Every hit of a probe is accounted for, and every record arrived."
            } @else {
                span class="state bad" { "does not balance" } " Do not use this result: hits or records are missing."
            }
        }
        (table(&["Probe", "Hits", "Recorded", "Dropped", "Unpaired", "In flight"], &html! {
            @for (name, row) in &ledger.probes {
                tr {
                    th scope="row" { (name) @if !row.is_balanced() { " " span class="state bad" { "does not balance" } } }
                    @let columns = [
                        ("hits", row.hits), ("recorded", row.recorded), ("dropped", row.dropped),
                        ("unpaired", row.unpaired), ("in_flight", row.in_flight),
                    ];
                    @for (key, count) in columns { td { (count_figure(&format!("{at}/probes/{name}/{key}"), count)) } }
                }
            }
            tr class="sum" {
                th scope="row" { "all" }
                @let columns = [
                    ("hits", ledger.hits), ("recorded", ledger.recorded), ("dropped", ledger.dropped),
                    ("unpaired", ledger.unpaired), ("in_flight", ledger.in_flight),
                ];
                @for (key, count) in columns { td { (count_figure(&format!("{at}/{key}"), count)) } }
            }
        }))
        p class="note" {
            (count_figure(&format!("{at}/records_written"), ledger.records_written)) " records written by the kernel, "
            (count_figure(&format!("{at}/records_received"), ledger.records_received)) " received; "
            (count_figure(&format!("{at}/hits_of_other_processes"), ledger.hits_of_other_processes))
            " hits by processes that are not traced."
        }
        @if !ledger.causes.is_empty() {
            ul { @for (cause, count) in &ledger.causes {
                li { (count_figure(&format!("{at}/causes/{}", escaped(cause)), *count)) " × " (cause) }
            } }
        }
    }
}

/// A key as a part of a JSON pointer.
fn escaped(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

/// How requests found their reads.
pub fn joined(at: &str, join: &Join) -> Markup {
    let figure_of = |key: &str, count: u64| count_figure(&format!("{at}/{key}"), count);
    html! {
        p {
            (figure_of("matched", join.matched)) " of " (figure_of("requests", join.requests))
            " requests to hooked arms were joined to their reads, by connection and byte range; reads of "
            (figure_of("outside_sent_done", join.outside_sent_done)) " ended outside of [sent, done]. "
            (figure_of("reads_without_request", join.reads_without_request)) " reads belong to no logged request, and "
            (figure_of("reads_after_done", join.reads_after_done)) " without bytes ended after the response."
            @if let Some(clocks) = &join.clocks {
                " " (match clocks.relation {
                    ClockRelation::One => "Both sides have one clock; ",
                    ClockRelation::Two => "The sides have two clocks; ",
                    ClockRelation::AssumedOne => "Nobody wrote down which clocks they are, and the times fit one; ",
                    ClockRelation::AssumedTwo => "Nobody wrote down which clocks they are, and the times do not fit one; ",
                })
                @let time = |key: &str, time_ns: f64| figure(&format!("{at}/clocks/{key}"), time_ns, &ns(time_ns));
                @let bound = time("bound_ns", clocks.bound_ns);
                @match clocks.relation {
                    ClockRelation::One | ClockRelation::AssumedOne => { "an offset of " (bound) " would go unnoticed." },
                    ClockRelation::Two | ClockRelation::AssumedTwo => {
                        "the server's is ahead by " (time("offset_ns", clocks.offset_ns)) ", to within " (bound) "."
                    },
                }
            }
        }
        @if !join.unmatched.is_empty() {
            ul { @for (cause, count) in &join.unmatched {
                li { (figure_of(&format!("unmatched/{}", escaped(cause)), *count)) " not joined: " (cause) }
            } }
        }
    }
}

fn requests(analysis: &Analysis) -> Markup {
    html! {
        (table(&["Arm", "Requests sent", "Failed", ""], &html! {
            @for (arm, requests) in &analysis.requests {
                tr {
                    th scope="row" { (arm) }
                    td { (count_figure(&format!("analysis.json#/requests/{arm}/sent"), requests.sent)) }
                    td { (crate::format::count(requests.failed.values().sum())) }
                    td class="text" { @for (kind, count) in &requests.failed {
                        (count_figure(&format!("analysis.json#/requests/{arm}/failed/{}", escaped(kind)), *count)) " × " (kind) " "
                    } }
                }
            }
        }))
        p class="note" { "Warm-up and both states of the probes included." }
    }
}

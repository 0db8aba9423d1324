//! What a trial is checked by: delays of known lengths, effects on neighbours, and what both sides counted.

use maud::{Markup, html};
use runlog::trial::{CarryOver, CountsCheck, Doses};

use super::AT;
use crate::format::{
    count, count_figure, decimal, figure as shown, interval, ns, probability, value,
    value_and_interval,
};
use crate::section::{definitions, table};

/// Arms with delays of known lengths. `at` is where they are in the trial, `of` what a delay is seen in.
pub fn of_doses(doses: &Doses, at: &str, of: &str, is_control: bool) -> Markup {
    let at = format!("{AT}/{at}");
    html! {
        p {
            @if is_control { "Positive control: arms" } @else { "Arms" }
            " that wait so much longer behind the hook. "
            @if let Some(slope) = &doses.slope {
                "A nanosecond of delay is seen " (of) " as "
                (value_and_interval(&format!("{at}/slope"), slope))
                @if is_control {
                    " ns: the interval must hold 1."
                } @else {
                    " ns: at this load requests also wait for the delays of those before them."
                }
            }
        }
        (table(&["Arm", "Delay", "Seen end to end", "95 % interval"], &html! {
            @for (place, dose) in doses.arms.iter().enumerate() {
                @let at = format!("{at}/arms/{place}");
                tr {
                    th scope="row" { (dose.arm) }
                    td {
                        (shown(&format!("{at}/delay_ns"), dose.delay_ns, &ns(dose.delay_ns)))
                        @if !dose.is_measured { " (asked for)" }
                    }
                    td { (value(&format!("{at}/effect"), &dose.effect)) }
                    td { (interval(&format!("{at}/effect"), &dose.effect)) }
                }
            }
        }))
    }
}

/// What the arm of a request did to its neighbours.
pub fn of_carry_over(carry_over: &[CarryOver]) -> Markup {
    html! {
        p {
            "Whether the arm of a request has an effect on its neighbours on the connection. It must have none on the request \
             before (−1), as that one was over; an effect on later ones is carried over, and withholds the verdict."
        }
        (table(&["Contrast", "Requests later", "Effect", "95 % interval", "p by Holm"], &html! {
            @for (number, contrast) in carry_over.iter().enumerate() {
                @for (place, lag) in contrast.lags.iter().enumerate() {
                    @let at = format!("{AT}/carry_over/{number}/lags/{place}");
                    tr {
                        th scope="row" { @if place == 0 { (contrast.contrast) } }
                        td { (shown(&format!("{at}/lag"), f64::from(lag.lag), &decimal(f64::from(lag.lag), 0))) }
                        td { (value(&format!("{at}/effect"), &lag.effect)) }
                        td { (interval(&format!("{at}/effect"), &lag.effect)) }
                        td { (probability(lag.p)) }
                    }
                }
                @if let Some(steady) = &contrast.steady {
                    @let at = format!("{AT}/carry_over/{number}/steady");
                    tr class="sum" {
                        th scope="row" {}
                        td { "sum of 0 to 8" }
                        td { (value(&at, steady)) }
                        td { (interval(&at, steady)) }
                        td {}
                    }
                }
            }
        }))
    }
}

/// What client and servers counted.
pub fn of_counts(counts: &CountsCheck, is_server_log: bool) -> Markup {
    let at = format!("{AT}/counts");
    let of = |name: &str, value: u64| count_figure(&format!("{at}/{name}"), value);
    let records = counts.records;
    html! {
        p {
            @if is_server_log {
                "The servers drew an arm for "
            } @else if counts.differing.is_empty() {
                "Client and servers counted the same requests for each arm: "
            } @else {
                strong { "Client and servers counted differently for " (count(counts.differing.len() as u64)) " arms of servers. " }
                "The servers drew an arm for "
            }
            (of("requests", counts.requests)) "."
        }
        (definitions([
            ("Requests that began off a boundary", of("off_boundary", counts.off_boundary)),
            ("Calls that read beyond their request", of("beyond_request", counts.beyond_request)),
            ("First requests without a salt", of("without_salt", counts.without_salt)),
            ("Hooked calls that never got behind the hook", of("unreached", counts.unreached)),
            ("Records that belong to no request or arm", of("misplaced", counts.misplaced)),
            ("Records begun", of("records/begun", records.begun)),
            ("Records read", of("records/read", records.read)),
            ("Records overwritten", of("records/overwritten", records.overwritten)),
            ("Records torn", of("records/torn", records.torn)),
            ("Calls too long for a record", of("records/unrecordable", records.unrecordable)),
        ]))
    }
}

//! Arms by slices of time: what the hook costs everyone, as time per completed request.

use maud::{Markup, html};
use runlog::estimate::Estimate;
use runlog::trial::{SlicesResult, TrialResult};

use super::{Line, estimates, figure, missing};
use crate::chart::arm_class;
use crate::chart::forest::{Forest, Row};
use crate::chart::response::{Response, ResponseChart};
use crate::format::{count_figure, figure as shown, ns, percent, value_and_interval};
use crate::run::Run;
use verdict::trial::NO_ROUNDS;

const AT: &str = "analysis.json#/trial/slices";

/// What delays are asked of, in the order of the page.
const RESPONSES: [(&str, &str); 4] = [
    ("per_completed", "time per completed request"),
    ("mean", "mean response time"),
    ("p50", "median response time"),
    ("p99", "99th percentile of response times"),
];

/// The slices of a trial that has any.
pub fn body(run: &Run, trial: &TrialResult, slices: &SlicesResult) -> Markup {
    html! {
        (design(run, trial, slices))
        @if slices.effects.is_empty() {
            (missing("No effects:", NO_ROUNDS))
        } @else {
            (figure(&effects(run, slices), &estimates(&effect_lines(AT, slices))))
        }
        @if !slices.responses.is_empty() {
            h3 { "Dose and response" }
            (amplification(slices))
            (figure(&responses(slices), &estimates(&response_lines(slices))))
        }
        h3 { "Whether slices and washout are long enough" }
        (checks(slices))
    }
}

/// How time was cut, and the level that effects stand on.
fn design(run: &Run, trial: &TrialResult, slices: &SlicesResult) -> Markup {
    let time = |name: &str, value: f64| shown(&format!("{AT}/{name}"), value, &ns(value));
    html! {
        p {
            "All requests of a slice of time have one arm, so the time that the hook takes from requests that wait is in the \
             result. A round has a slice of each arm, in an order drawn anew. Slices are "
            (time("slice_ns", slices.slice_ns as f64))
            " long, in every second round twice that, and "
            (count_figure(&format!("{AT}/rounds"), slices.rounds))
            " rounds are complete. The first "
            (time("washout_ns", slices.washout_ns as f64))
            " of each slice, the washout, are not counted: what the slice before has left behind is still waiting then."
            @if let Some(p99_ns) = slices.p99_ns {
                " The 99th percentile of response times in the warm-up is " (time("p99_ns", p99_ns)) "."
            }
            (told_by_server(trial))
        }
        @if let Some(level) = &slices.per_completed {
            p {
                "Without the hook, a request is completed every "
                (value_and_interval(&format!("{AT}/per_completed"), level))
                ": this time per completed request is the inverse of the throughput."
                @if run.analysed().is_some_and(|analysis| !analysis.is_by_completed_request()) {
                    " In this open loop the load generator decides on it: what the hook costs shows in response times."
                }
            }
        }
    }
}

/// What a request is where the load generator is somebody else's.
fn told_by_server(trial: &TrialResult) -> &'static str {
    if trial.is_server_log() {
        " The servers tell of the requests: from their first read to the write that answers them."
    } else {
        ""
    }
}

/// The effects as a plot.
pub fn effects(run: &Run, slices: &SlicesResult) -> Forest {
    let row = |(arm, estimate): (&str, &Estimate)| Row {
        group: None,
        label: match arm {
            "null" => "null minus off (control)".to_owned(),
            arm => format!("{arm} minus off"),
        },
        class: arm_class(run.arm(arm)),
        at: format!("{AT}/effects/{arm}"),
        estimate: estimate.clone(),
    };
    Forest {
        id: "slices",
        label: "What each arm adds to the time per completed request, with 95 % intervals"
            .to_owned(),
        axis: "longer than off".to_owned(),
        logarithmic: true,
        legend: Vec::new(),
        rows: by_delay(slices).into_iter().map(row).collect(),
    }
}

/// Arms with their effects: the control, the hook, then delays from the shortest on.
fn by_delay(slices: &SlicesResult) -> Vec<(&str, &Estimate)> {
    let effects = slices.effects.iter();
    let mut effects: Vec<_> = effects.map(|(arm, of)| (arm.as_str(), of)).collect();
    let delay_ns = |arm: &str| -> u64 {
        let delay = arm.split_once('+').map(|(_, delay)| delay.parse());
        delay.and_then(Result::ok).unwrap_or(0)
    };
    effects.sort_by_key(|(arm, _)| delay_ns(arm));
    effects
}

/// The level of `off`, and what each arm adds to it. `at` is where the slices are.
pub fn effect_lines<'s>(at: &str, slices: &'s SlicesResult) -> Vec<Line<'s>> {
    let level = Line::of(
        "off: time per completed request",
        &format!("{at}/per_completed"),
        slices.per_completed.as_ref(),
    );
    let effects = by_delay(slices).into_iter().map(|(arm, estimate)| Line {
        name: format!("{arm} minus off: time per completed request"),
        at: format!("{at}/effects/{arm}"),
        estimate,
    });
    level.into_iter().chain(effects).collect()
}

/// What delays do, as a plot.
pub fn responses(slices: &SlicesResult) -> ResponseChart<'_> {
    let response = |(key, name): (&str, &'static str)| {
        Some(Response {
            name,
            at: format!("{AT}/responses/{key}"),
            doses: slices.responses.get(key)?,
        })
    };
    ResponseChart(RESPONSES.into_iter().filter_map(response).collect())
}

/// The slopes in words.
fn amplification(slices: &SlicesResult) -> Markup {
    let ResponseChart(responses) = responses(slices);
    let slopes = responses
        .iter()
        .filter_map(|of| Some((of, of.doses.slope.as_ref()?)));
    html! {
        p {
            "Arms with delays wait so much longer in the hook. The slope of their effects over their delays is the amplification: \
             what 1 ns in the hook costs at this load."
        }
        ul {
            @for (response, slope) in slopes {
                li { (response.name) ": " (value_and_interval(&format!("{}/slope", response.at), slope)) " ns" }
            }
        }
    }
}

fn response_lines(slices: &SlicesResult) -> Vec<Line<'_>> {
    let mut lines = Vec::new();
    for Response { name, at, doses } in responses(slices).0 {
        lines.extend(Line::of(
            &format!("{name}: slope"),
            &format!("{at}/slope"),
            doses.slope.as_ref(),
        ));
        lines.extend(doses.arms.iter().enumerate().map(|(place, dose)| Line {
            name: format!("{name}: {}, delayed by {}", dose.arm, ns(dose.delay_ns)),
            at: format!("{at}/arms/{place}/effect"),
            estimate: &dose.effect,
        }));
    }
    lines
}

/// What the result changes by with the lengths that were chosen.
fn checks(slices: &SlicesResult) -> Markup {
    let lines = check_lines(slices);
    html! {
        @if lines.is_empty() {
            (missing("No checks:", "too few requests were completed in longer slices, and after a longer washout"))
        } @else {
            p {
                "Both must be small beside the effects: else one slice has effects on the next. Where they are not, the verdict is \
                 withheld, and the first lines say so."
            }
            (estimates(&lines))
        }
        @if let Some(share) = slices.other_arm {
            p {
                (shown(&format!("{AT}/other_arm"), share, &percent(share, 2)))
                " of the requests were read in a call that began in a slice of another arm."
            }
        }
    }
}

fn check_lines(slices: &SlicesResult) -> Vec<Line<'_>> {
    [
        (
            "Washout twice as long",
            "washout_doubled",
            &slices.washout_doubled,
        ),
        (
            "Slices twice as long",
            "slices_doubled",
            &slices.slices_doubled,
        ),
        (
            "Behind a slice of the dearest arm",
            "carry_over",
            &slices.carry_over,
        ),
    ]
    .into_iter()
    .filter_map(|(name, at, change)| Line::of(name, &format!("{AT}/{at}"), change.as_ref()))
    .collect()
}

/// Its estimates, for tables.
pub fn lines(slices: &SlicesResult) -> Vec<Line<'_>> {
    let mut lines = effect_lines(AT, slices);
    lines.extend(response_lines(slices));
    lines.extend(check_lines(slices));
    lines
}

#[cfg(test)]
mod tests;

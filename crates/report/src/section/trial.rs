//! A trial: what was found request by request, within processes.

mod checks;

use maud::{Markup, html};
use runlog::trial::{ArmEffect, BracketInSitu, TrialResult, Undisturbed};

use self::checks::{of_carry_over, of_counts, of_doses};
use super::{Line, estimates, figure, missing};
use crate::chart::arm_class;
use crate::chart::difference::{DifferenceChart, part_name};
use crate::chart::forest::{Forest, Row};
use crate::chart::quantiles::QuantileChart;
use crate::format::{count_figure, figure as shown, ns, percent, percentile, value_and_interval};
use crate::run::Run;

const AT: &str = "analysis.json#/trial";

/// The trial of a run that has one.
pub fn body(run: &Run, trial: &TrialResult) -> Markup {
    html! {
        p {
            (how_arms_were_drawn(trial))
            @if let Some(threshold_ns) = trial.threshold_ns {
                " Response times are split at "
                (shown(&format!("{AT}/threshold_ns"), threshold_ns, &ns(threshold_ns)))
                ", fixed before the first request that counts: what lies below is the body, what lies above the tail, and both \
                 add up to the mean."
            }
        }
        @if let Some(undisturbed) = &trial.undisturbed { (of_undisturbed(undisturbed)) }
        @let effects = effects(run, trial);
        @if effects.rows.is_empty() {
            (missing("No effects:", "no two blocks have requests of off and of another arm that count"))
        } @else {
            (figure(&effects, &estimates(&effect_lines(trial))))
        }
        @if !trial.by_process.is_empty() {
            h3 { "Processes side by side" }
            (figure(&processes(trial), &estimates(&process_lines(trial))))
        }
        @if !trial.quantiles.is_empty() {
            h3 { "What each quantile is shifted by" }
            (figure(&QuantileChart(&trial.quantiles), &estimates(&quantile_lines(trial))))
        }
        @if !trial.budgets.is_empty() {
            h3 { "Where it costs" }
            (figure(&differences(trial), &estimates(&budget_lines(trial))))
        }
        h3 { "Inside the server, by the bracket's records" }
        @match &trial.in_situ {
            Some(in_situ) => { (of_in_situ(trial, in_situ)) },
            None => { (missing("No records:", trial.in_situ_missing.as_deref().unwrap_or("there are none"))) },
        }
        h3 { "Controls" }
        @if let Some(doses) = &trial.doses {
            (of_doses(doses, "doses", "in the body of the mean", trial.slices.is_none()))
        }
        @if let Some(doses) = trial.undisturbed.as_ref().and_then(|of| of.doses.as_ref()) {
            (of_doses(doses, "undisturbed/doses", "by an undisturbed request", true))
        }
        @if let Some(redrawn) = &trial.rerandomisation {
            p {
                "Intervals of one process, for arms that do the same and were drawn again, hold 0 in "
                (shown(&format!("{AT}/rerandomisation/share_holding"), redrawn.share_holding, &percent(redrawn.share_holding, 1)))
                " of "
                (count_figure(&format!("{AT}/rerandomisation/intervals"), redrawn.intervals))
                " cases; 95 % is right."
            }
        }
        @if !trial.carry_over.is_empty() { (of_carry_over(&trial.carry_over)) }
        @match &trial.counts {
            Some(counts) => { (of_counts(counts, trial.is_server_log())) },
            None => { (missing("No counts:", "the servers' counts are missing, so nothing says that both sides drew the same arms")) },
        }
    }
}

fn how_arms_were_drawn(trial: &TrialResult) -> Markup {
    let processes = count_figure(&format!("{AT}/processes"), trial.processes as u64);
    let noun = if trial.processes == 1 {
        " process"
    } else {
        " processes"
    };
    html! {
        @if trial.slices.is_some() {
            "Response times of the requests that were sent and answered in the part of a slice that counts, in "
            (processes) (noun) " of the server. "
        } @else {
            "Arms were drawn request by request within each of " (processes) (noun) " of the server. "
        }
        @if trial.is_server_log() {
            "They are those that the servers saw, from a request's first read to the write that answers it. "
        }
        "An estimate is made in each process by itself; its interval is over "
        @if trial.processes == 1 { "the blocks of that process." } @else { "processes." }
    }
}

/// The effects as a plot.
pub fn effects(run: &Run, trial: &TrialResult) -> Forest {
    let mut rows = Vec::new();
    for (arm, effect) in &trial.effects {
        let mut group = Some(format!("{arm} minus off"));
        for line in lines_of_arm(trial, arm, effect) {
            rows.push(Row {
                group: group.take(),
                label: line.name,
                class: arm_class(run.arm(arm)),
                at: line.at,
                estimate: line.estimate.clone(),
            });
        }
    }
    Forest {
        id: "effects",
        label: "What each arm adds to a request, with 95 % intervals".to_owned(),
        axis: "longer than off".to_owned(),
        logarithmic: true,
        legend: Vec::new(),
        rows,
    }
}

/// The effects of an arm in nanoseconds, that on an undisturbed request first.
fn lines_of_arm<'t>(
    trial: &'t TrialResult,
    arm: &'t str,
    effect: &'t ArmEffect,
) -> impl Iterator<Item = Line<'t>> {
    let undisturbed = trial
        .undisturbed
        .as_ref()
        .and_then(|of| of.effects.get(arm));
    let undisturbed = undisturbed.map(|of| Line {
        name: "undisturbed: mode".to_owned(),
        at: format!("{AT}/undisturbed/effects/{arm}/end_to_end"),
        estimate: &of.end_to_end,
    });
    undisturbed.into_iter().chain(part_lines(AT, arm, effect))
}

/// The effects of an arm on all its requests. `at` is where those of all arms are.
pub fn part_lines<'e>(
    at: &str,
    arm: &str,
    effect: &'e ArmEffect,
) -> impl Iterator<Item = Line<'e>> + use<'e> {
    let at = format!("{at}/effects/{arm}");
    [
        ("typical: median", "typical", &effect.typical),
        ("body of the mean", "body", &effect.body),
        ("tail of the mean", "tail", &effect.tail),
        ("mean", "mean", &effect.mean),
    ]
    .into_iter()
    .filter_map(move |(name, part, estimate)| {
        Some(Line {
            name: name.to_owned(),
            at: format!("{at}/{part}"),
            estimate: estimate.as_ref()?,
        })
    })
}

fn effect_lines(trial: &TrialResult) -> Vec<Line<'_>> {
    let mut lines = Vec::new();
    for (arm, effect) in &trial.effects {
        let share = effect.share_above.as_ref().map(|estimate| Line {
            name: "share above the threshold".to_owned(),
            at: format!("{AT}/effects/{arm}/share_above"),
            estimate,
        });
        let of_arm = lines_of_arm(trial, arm, effect).chain(share);
        lines.extend(of_arm.map(|line| Line {
            name: format!("{arm}: {}", line.name),
            ..line
        }));
    }
    lines
}

/// What "undisturbed" means, and what lies outside of the hook's calls.
fn of_undisturbed(undisturbed: &Undisturbed) -> Markup {
    let at = format!("{AT}/undisturbed");
    html! {
        p {
            "Undisturbed are the "
            (shown(&format!("{at}/share"), undisturbed.share, &percent(undisturbed.share, 0)))
            " of the requests that began as most do, before the hook could have an effect; of the rest of their response \
             times the mode is compared. A cost that less than half of the requests have is not in it: body and tail have that."
            @if let Some(outside) = undisturbed.of_hook().and_then(|on| on.outside_call.as_ref()) {
                " Of what such a request takes longer with the hook, "
                (value_and_interval(&format!("{at}/effects/on/outside_call"), outside))
                " lies outside of the hook's calls."
            }
        }
    }
}

/// The processes as a plot.
pub fn processes(trial: &TrialResult) -> Forest {
    let row = |line: Line<'_>, group: Option<&str>, class: &str| Row {
        group: group.map(str::to_owned),
        label: line.name,
        class: class.to_owned(),
        at: line.at,
        estimate: line.estimate.clone(),
    };
    let of = |lines: Vec<Line<'_>>, group: &str, class: &str| -> Vec<Row> {
        let numbered = lines.into_iter().enumerate();
        numbered
            .map(|(place, line)| row(line, (place == 0).then_some(group), class))
            .collect()
    };
    let bodies = of(body_lines(trial), "End to end, on minus off", "layer-macro");
    let in_situ = of(
        in_situ_lines(trial),
        "In situ after the read, on minus null",
        "layer-in-situ",
    );
    Forest {
        id: "processes",
        label: "The hook in each process, with 95 % intervals over its blocks".to_owned(),
        axis: "what the hook adds to a request".to_owned(),
        logarithmic: false,
        legend: Vec::new(),
        rows: bodies.into_iter().chain(in_situ).collect(),
    }
}

fn body_lines(trial: &TrialResult) -> Vec<Line<'_>> {
    let processes = trial.by_process.iter().enumerate();
    processes
        .map(|(place, process)| Line {
            name: format!("process {}", process.server + 1),
            at: format!("{AT}/by_process/{place}/body"),
            estimate: &process.body,
        })
        .collect()
}

fn in_situ_lines(trial: &TrialResult) -> Vec<Line<'_>> {
    let processes = trial.by_process.iter().enumerate();
    processes
        .filter_map(|(place, process)| {
            let name = format!("process {}", process.server + 1);
            let at = format!("{AT}/by_process/{place}/in_situ");
            Line::of(&name, &at, process.in_situ.as_ref())
        })
        .collect()
}

fn process_lines(trial: &TrialResult) -> Vec<Line<'_>> {
    let layers = [
        (body_lines(trial), "end to end"),
        (in_situ_lines(trial), "in situ"),
    ];
    let mut lines = Vec::new();
    for (of_layer, layer) in layers {
        lines.extend(of_layer.into_iter().map(|line| Line {
            name: format!("{}, {layer}", line.name),
            ..line
        }));
    }
    lines
}

fn quantile_lines(trial: &TrialResult) -> Vec<Line<'_>> {
    let quantiles = trial.quantiles.iter().enumerate();
    quantiles
        .map(|(place, at)| Line {
            name: percentile(at.quantile),
            at: format!("{AT}/quantiles/{place}/effect"),
            estimate: &at.effect,
        })
        .collect()
}

/// Where each arm takes longer, as a plot.
pub fn differences(trial: &TrialResult) -> DifferenceChart<'_> {
    let budgets = trial.budgets.iter();
    DifferenceChart {
        budgets: budgets
            .map(|(arm, budget)| (arm.as_str(), budget))
            .collect(),
    }
}

fn budget_lines(trial: &TrialResult) -> Vec<Line<'_>> {
    let mut lines = Vec::new();
    for (arm, budget) in &trial.budgets {
        let at = format!("{AT}/budgets/{arm}");
        let of = |name: &str, part: String, estimate| Line {
            name: format!("{arm}: {name}"),
            at: format!("{at}/{part}"),
            estimate,
        };
        for (place, line) in budget.lines.iter().enumerate() {
            let part = format!("lines/{place}/difference");
            lines.push(of(part_name(&line.name), part, &line.difference));
        }
        lines.push(of("total", "total".to_owned(), &budget.total));
        let outside = "outside_call".to_owned();
        lines.push(of("outside the hook", outside, &budget.outside_call));
    }
    lines
}

fn of_in_situ(trial: &TrialResult, in_situ: &BracketInSitu) -> Markup {
    let of = |name, part| (name, format!("{AT}/in_situ/{part}"));
    let lines = [
        (
            of("After the read, mean", "after_read/mean"),
            &in_situ.after_read.mean,
        ),
        (
            of("After the read, median", "after_read/typical"),
            &in_situ.after_read.typical,
        ),
        (
            of("Before and after, mean", "whole/mean"),
            &in_situ.whole.mean,
        ),
        (
            of("Before and after, median", "whole/typical"),
            &in_situ.whole.typical,
        ),
        (
            of("Calls of a request", "calls_per_request"),
            &in_situ.calls_per_request,
        ),
        (
            of("Bytes of a call", "bytes_per_call"),
            &in_situ.bytes_per_call,
        ),
    ];
    let lines: Vec<Line<'_>> = lines
        .iter()
        .filter_map(|((name, at), estimate)| Line::of(name, at, estimate.as_ref()))
        .collect();
    html! {
        p {
            "Hook overhead of a request, on minus null: what the bracket takes by itself is in both. "
            @if trial.slices.is_some() {
                "A call keeps the server from the next request for all that the hook does, before the read and after it."
            } @else if in_situ.blocking_reads {
                "The server waits for requests inside of the call, so what the hook does before the read falls into idle time \
                 and lengthens no response."
            } @else {
                "The server calls when a request is there, so all that the hook does lengthens the response."
            }
            @if let Some(estimate) = &trial.in_situ_sources_differ_by {
                " The eBPF probes, in blocks of their own, differ by "
                (value_and_interval(&format!("{AT}/in_situ_sources_differ_by"), estimate))
                " from what the records show after the read."
            }
        }
        (estimates(&lines))
    }
}

/// Its estimates, for tables.
pub fn lines(trial: &TrialResult) -> Vec<Line<'_>> {
    let mut lines = effect_lines(trial);
    lines.extend(process_lines(trial));
    lines.extend(quantile_lines(trial));
    lines.extend(budget_lines(trial));
    lines
}

#[cfg(test)]
pub(crate) mod tests;

//! Several runs side by side, as the paper's figure has its settings.

use maud::{Markup, html};
use runlog::estimate::Estimate;

use super::judgement::{judge, usable};
use super::{environment, figure, missing, table};
use crate::chart::boxes::{Boxes, Named};
use crate::chart::forest::{Forest, Row};
use crate::format::{count, value_and_interval};
use crate::run::Run;

/// What can be said of each run on one axis.
fn estimates(run: &Run) -> Vec<(&'static str, &'static str, &'static str, &Estimate)> {
    let Some(analysis) = run.analysed() else {
        return Vec::new();
    };
    let micro = &analysis.micro;
    let in_situ = &analysis.in_situ;
    let macro_ = &analysis.macro_;
    let seen = match &in_situ.hook_overhead_corrected {
        Some(corrected) => ("in_situ/hook_overhead_corrected", Some(corrected)),
        None => ("in_situ/hook_overhead", in_situ.hook_overhead.as_ref()),
    };
    [
        (
            "micro, hot",
            "layer-micro",
            "micro/hook_overhead",
            micro.hook_overhead.as_ref(),
        ),
        ("in situ", "layer-in-situ", seen.0, seen.1),
        (
            "macro",
            "layer-macro",
            "macro/difference",
            macro_.difference.as_ref(),
        ),
        (
            "A/A",
            "layer-a-a",
            "macro/a_a_difference",
            macro_.a_a_difference.as_ref(),
        ),
    ]
    .into_iter()
    .filter_map(|(name, class, at, estimate)| Some((name, class, at, estimate?)))
    .collect()
}

/// The layers of all runs.
pub fn forest(runs: &[Run]) -> Forest {
    let mut rows = Vec::new();
    for (index, run) in runs.iter().enumerate() {
        let mut group = Some(run.name());
        for (name, class, at, estimate) in estimates(run) {
            rows.push(Row {
                group: group.take(),
                label: name.to_owned(),
                class: class.to_owned(),
                at: format!("{index}:analysis.json#/{at}"),
                estimate: estimate.clone(),
            });
        }
    }
    Forest {
        id: "settings",
        label: "Hook overhead of several runs, with 95 % intervals".to_owned(),
        axis: "what the hook adds".to_owned(),
        logarithmic: true,
        legend: Vec::new(),
        rows,
    }
}

/// The response times of all runs.
pub fn boxes(runs: &[Run]) -> Boxes {
    let mut boxes = Vec::new();
    for run in runs {
        let mut group = Some(run.name());
        for (arm, sample) in run
            .requests
            .iter()
            .flat_map(|requests| &requests.arms)
            .enumerate()
        {
            if let Some(figures) = sample.box_ {
                boxes.push(Named {
                    group: group.take(),
                    name: sample.name.clone(),
                    arm,
                    figures,
                });
            }
        }
    }
    Boxes { boxes }
}

/// What each run says.
pub fn verdicts(runs: &[Run]) -> Markup {
    html! {
        @for run in runs {
            @let judgement = judge(run);
            div class="setting" {
                h3 { (run.name()) " " (usable(run)) }
                p { strong { (judgement.headline) } }
                @if !judgement.reasons.is_empty() { ul { @for reason in &judgement.reasons { li { (reason) } } } }
                p class="what" { (environment::in_a_line(&run.manifest)) }
            }
        }
    }
}

/// The layers side by side.
pub fn layers(runs: &[Run]) -> Markup {
    let forest = forest(runs);
    if forest.rows.is_empty() {
        return missing("No estimates:", "none of the runs has an analysis");
    }
    figure(&forest, &figures(runs))
}

/// Response times side by side.
pub fn response_times(runs: &[Run]) -> Markup {
    let boxes = boxes(runs);
    html! {
        @if !boxes.boxes.is_empty() {
            figure id="plot-boxes" { (crate::chart::inline(&boxes)) }
            p class="note" { "Quartiles, whiskers within 1.5 times the box, medians in bold, means as diamonds." }
        }
        @for run in runs {
            @if let Err(why) = &run.requests { (missing(&format!("{}: no response times:", run.name()), why)) }
        }
    }
}

fn figures(runs: &[Run]) -> Markup {
    table(
        &["Run", "Layer", "Estimate and 95 % interval", "Blocks"],
        &html! {
            @for (index, run) in runs.iter().enumerate() {
                @for (name, _, at, estimate) in estimates(run) {
                    tr {
                        th scope="row" { (run.name()) }
                        td class="text" { (name) }
                        td { (value_and_interval(&format!("{index}:analysis.json#/{at}"), estimate)) }
                        td { (count(estimate.blocks as u64)) }
                    }
                }
            }
        },
    )
}

/// How the runs were set up.
pub fn set_up(runs: &[Run]) -> Markup {
    table(
        &[
            "Run",
            "Machine",
            "Order",
            "Connections",
            "Requests an arm",
            "CPUs",
        ],
        &html! {
            @for run in runs {
                @let schedule = &run.manifest.schedule;
                tr {
                    th scope="row" { (run.name()) }
                    td class="text" { (environment::in_a_line(&run.manifest)) }
                    td class="text" { (schedule.order) }
                    td { (count(schedule.connections as u64)) }
                    td { (count(schedule.requests_per_cell)) }
                    td class="text" { (run.manifest.placement.policy) }
                }
            }
        },
    )
}

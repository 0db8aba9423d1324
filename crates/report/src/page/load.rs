//! The page of a load.

use maud::{Markup, html};
use runlog::RunDirectory;
use runlog::clock::utc;
use runlog::load_api::{Run, RunState};
use runlog::summary::{Load, LoadSummary, Model, Pacer, Spacing};

use super::{Page, frame};
use crate::chart::percentiles::Percentiles;
use crate::data::distribution::distributions;
use crate::format::{count, count_figure};
use crate::section::judgement::{Judgement, Tone, draw};
use crate::section::response_times::{ERROR_OF_QUANTILES, of_load};
use crate::section::{definitions, drawing, environment, missing, section, table};

/// Colours of arms: arms of a load are no baseline twice, so the grey of the second one comes last.
const COLOURS: [usize; 6] = [0, 2, 3, 4, 5, 1];

/// The page of a load that is over.
pub fn load(run: &Run, directory: &RunDirectory) -> String {
    let state = match run.state {
        RunState::Complete => "Ran to its end",
        RunState::CutShort => "Cut short",
        RunState::Failed => "Failed",
        RunState::Running | RunState::Stopping => "Under way",
    };
    frame(&Page {
        title: run.id.clone(),
        heading: format!("Load {}", run.id),
        about: html! { (state) @if let Some(reason) = &run.reason { ": " (reason) } },
        main: match &run.summary {
            Some(summary) => sections(summary, directory),
            None => missing("No figures:", "the load left no summary"),
        },
    })
}

fn sections(summary: &LoadSummary, directory: &RunDirectory) -> Markup {
    let response_times = html! {
        (of_load(summary))
        p class="note" { "Of requests that succeeded. Warm-up is left out. " (ERROR_OF_QUANTILES) }
    };
    html! {
        @if let Some(judgement) = not_open_loop(summary) { (draw(&judgement)) }
        (section("response-times", "Response times", &response_times))
        @if summary.arms.iter().any(|arm| arm.errors > 0) { (section("errors", "Errors", &errors(summary))) }
        (section("percentiles", "Response time by percentile", &percentiles(summary, directory)))
        (section("set-up", "How it was measured", &set_up(summary, directory)))
    }
}

/// What has to be said first of arms whose plan was not kept.
fn not_open_loop(summary: &LoadSummary) -> Option<Judgement> {
    let marks = summary.arms.iter().filter_map(|arm| {
        let mark = arm.pacer.as_ref().and_then(Pacer::mark)?;
        Some(format!("Arm {}: {mark}", arm.name))
    });
    let reasons: Vec<String> = marks.collect();
    (!reasons.is_empty()).then(|| Judgement {
        tone: Tone::Bad,
        headline: "The load was not the planned one.".to_owned(),
        text: Markup::default(),
        reasons,
    })
}

fn errors(summary: &LoadSummary) -> Markup {
    table(
        &["Arm", "Kind", "Requests"],
        &html! {
            @for (index, arm) in summary.arms.iter().enumerate() {
                @for (kind, many) in &arm.errors_by_kind {
                    tr {
                        th scope="row" { (arm.name) }
                        td class="text" { (kind) }
                        td { (count_figure(&format!("load.json#/arms/{index}/errors_by_kind/{kind}"), *many)) }
                    }
                }
            }
        },
    )
}

fn percentiles(summary: &LoadSummary, directory: &RunDirectory) -> Markup {
    let names = summary.arms.iter().map(|arm| arm.name.as_str());
    match distributions(directory, names.clone()) {
        Ok(found) => {
            let place = |name: &str| names.clone().position(|arm| arm == name).unwrap_or(0);
            let colour = |name: &str| COLOURS[place(name) % COLOURS.len()];
            drawing(&Percentiles {
                arms: found.iter().map(|arm| (colour(&arm.arm), arm)).collect(),
            })
        }
        Err(why) => missing("No percentiles:", &why),
    }
}

fn set_up(summary: &LoadSummary, directory: &RunDirectory) -> Markup {
    let schedule = &summary.schedule;
    let mut entries = vec![(
        "Started".to_owned(),
        html! { (utc(summary.started_unix_ns)) },
    )];
    entries.extend(environment::laid_out(schedule));
    if let Some(load) = &summary.load {
        entries.push(("Load".to_owned(), html! { (how(load)) }));
    }
    entries.extend([
        (
            "Requests per arm".to_owned(),
            html! { (planned(summary)) " in " (schedule.blocks_per_cell) " blocks" },
        ),
        (
            "Warm-up".to_owned(),
            html! { (count(schedule.warmup_requests)) " requests per arm" },
        ),
    ]);
    entries.extend(environment::addresses(
        summary.arms.iter().map(|arm| (&arm.name, &arm.url)),
    ));
    entries.push(("Folder".to_owned(), html! { (directory.root().display()) }));
    definitions(entries)
}

/// What decided when requests were sent.
fn how(load: &Load) -> String {
    let spacing = |spacing: Option<Spacing>| match spacing {
        Some(Spacing::Exponential) => "exponentially distributed",
        Some(Spacing::Constant) | None => "constant",
    };
    match load.model {
        Model::ClosedLoop if load.think_time_ns == 0 => "closed loop".to_owned(),
        Model::ClosedLoop => format!(
            "closed loop, {} s of think time, {}",
            load.think_time_ns as f64 / 1e9,
            spacing(load.think_spacing)
        ),
        Model::OpenLoop => format!(
            "open loop, {} requests a second to each arm, spacing {}; times count from the planned instant",
            load.rate_per_second.unwrap_or(0.0),
            spacing(load.arrivals)
        ),
    }
}

/// How many requests an arm was to get.
fn planned(summary: &LoadSummary) -> String {
    let duration_ns = summary.load.as_ref().and_then(|load| load.duration_ns);
    let seconds = duration_ns.map(|ns| format!("as many as in {} s,", ns as f64 / 1e9));
    match (summary.schedule.requests_per_cell, seconds) {
        (0, Some(seconds)) => seconds,
        (requests, Some(seconds)) => format!("{}, or {seconds}", count(requests)),
        (requests, None) => count(requests),
    }
}

//! The page of a run that an agent took part in.

use maud::{Markup, html};
use runlog::agent_run::{AgentRun, ArmResult, RunResult, RunState};
use runlog::clock::utc;
use runlog::trial::TrialResult;

use super::{Page, frame};
use crate::format::count_figure;
use crate::section::judgement::{Judgement, Tone, draw};
use crate::section::response_times::{ERROR_OF_QUANTILES, head, spans, times};
use crate::section::slices::effect_lines;
use crate::section::trial::part_lines;
use crate::section::{Line, definitions, environment, estimates, ledger, section, table};

/// The page of a run that is over.
pub fn agent_run(run: &AgentRun) -> String {
    frame(&Page {
        title: run.id.clone(),
        heading: format!("Run {}", run.id),
        about: html! { (outcome(run)) " Started " (utc(run.started_unix_ns)) "." },
        main: html! {
            (draw(&judge(run)))
            @if let Some(result) = &run.result { (figures(result)) }
            (section("set-up", "How it was measured", &set_up(run)))
        },
    })
}

fn outcome(run: &AgentRun) -> String {
    let state = match run.state {
        RunState::Complete => "Complete",
        RunState::CutShort => "Cut short",
        RunState::Failed => "Failed",
        RunState::Recording | RunState::Joining => "Goes on",
    };
    let reason = run.reason.as_ref();
    reason.map_or_else(|| format!("{state}."), |why| format!("{state}: {why}."))
}

fn judge(run: &AgentRun) -> Judgement {
    let (tone, headline, text, reasons) = match &run.result {
        Some(result) if result.usable => (
            Tone::Good,
            "The records are complete.",
            "All requests to hooked servers are joined to their reads, and the ledgers balance.",
            Vec::new(),
        ),
        Some(result) => (
            Tone::Bad,
            "Not usable without care.",
            "",
            result.doubts.clone(),
        ),
        None => (
            Tone::Bad,
            "There is no result.",
            "",
            run.reason.iter().cloned().collect(),
        ),
    };
    Judgement {
        tone,
        headline: headline.to_owned(),
        text: html! { @if !text.is_empty() { p { (text) } } },
        reasons,
    }
}

/// The arms, each with the place of its figures.
fn placed(result: &RunResult) -> impl Iterator<Item = (String, &ArmResult)> {
    let arms = result.arms.iter().enumerate();
    arms.map(|(index, arm)| (format!("agent-run.json#/result/arms/{index}"), arm))
}

fn figures(result: &RunResult) -> Markup {
    let response_times = table(
        &head(&["Arm", "Requests", "Failed"]),
        &html! {
            @for (at, arm) in placed(result) {
                tr {
                    th scope="row" { (arm.arm) }
                    td { (count_figure(&format!("{at}/requests"), arm.requests)) }
                    td { (count_figure(&format!("{at}/errors"), arm.errors)) }
                    (times(&format!("{at}/latency_ns"), arm.latency_ns.as_ref()))
                }
            }
        },
    );
    let in_servers = table(
        &head(&["Arm", "What", "Calls"]),
        &html! {
            @for (at, arm) in placed(result) {
                @for (kind, summary) in &arm.spans {
                    tr {
                        th scope="row" { (arm.arm) }
                        td class="text" { (kind) }
                        (spans(&format!("{at}/spans/{kind}"), summary))
                    }
                }
            }
        },
    );
    let ledgers = html! {
        @for (at, arm) in placed(result) {
            h3 { (arm.arm) }
            (ledger::hits(&format!("{at}/ledger"), &arm.ledger))
            @match &arm.join {
                Some(join) => (ledger::joined(&format!("{at}/join"), join)),
                None if result.trial.is_some() => p { "Salt and ordinal join its calls to requests." },
                None => p { "No hook: nothing to join." },
            }
        }
    };
    html! {
        @if let Some(trial) = &result.trial {
            (section("effects", "What each arm adds to a request", &estimates(&effects(trial))))
        }
        (section("response-times", "Response times", &response_times))
        (section("in-servers", "In the servers", &html! { (in_servers) p class="note" { (ERROR_OF_QUANTILES) } }))
        (section("ledger", "Where every probe hit and every request went", &ledgers))
    }
}

/// The effects of a trial's arms, by slices of time those on the time per completed request first.
fn effects(trial: &TrialResult) -> Vec<Line<'_>> {
    const AT: &str = "agent-run.json#/result/trial";
    let slices = trial.slices.iter();
    let completed = slices.flat_map(|slices| effect_lines(&format!("{AT}/slices"), slices));
    let of_requests = trial.effects.iter().flat_map(|(arm, effect)| {
        part_lines(AT, arm, effect).map(move |line| Line {
            name: format!("{arm}: {}", line.name),
            ..line
        })
    });
    completed.chain(of_requests).collect()
}

fn set_up(run: &AgentRun) -> Markup {
    let schedule = &run.announced.schedule;
    let mut entries = environment::laid_out(schedule);
    entries.push((
        "Blocks per arm".to_owned(),
        html! { (schedule.blocks_per_cell) },
    ));
    entries.extend(environment::addresses(
        run.announced.arms.iter().map(|arm| (&arm.name, &arm.url)),
    ));
    definitions(entries)
}

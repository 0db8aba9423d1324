//! The hook alone, rung by rung.

use maud::{Markup, html};
use runlog::micro::{Cost, MicroReport};

use super::{Line, estimates, figure, missing};
use crate::chart::forest::{Forest, Row};
use crate::run::Run;

/// The rungs, or how to get them.
pub fn body(run: &Run) -> Markup {
    let cold = run
        .analysed()
        .and_then(|analysis| analysis.micro.cold.as_deref());
    match &run.ladder {
        Ok(ladder) => html! {
            p { "Each rung of the hook does all that the one before does, and more. Hot is a tight loop: a lower bound." }
            (figure(&forest(ladder), &estimates(&lines(ladder))))
            p class="note" { (ladder.eviction.how) }
            @for warning in &ladder.warnings { p class="note" { (warning) } }
        },
        Err(why) => html! {
            @let folder = run.directory.root().display().to_string();
            (missing("No ladder:", why))
            p { "This measures it on the machine of the run, for the next report:" }
            pre { code {
                "probe-user micro --run " (folder) " --json > " (folder) "/micro.json\n"
                "probe-user report " (folder)
            } }
            @if let Some(cold) = cold { p class="note" { "The micro layer above: " (cold) "." } }
        },
    }
}

fn costs(ladder: &MicroReport) -> Vec<(String, &'static str, String, &Cost)> {
    let temperatures = ["hot", "cold", "flushed"];
    let all = temperatures.into_iter().flat_map(|temperature| {
        ladder
            .rungs
            .iter()
            .enumerate()
            .filter_map(move |(index, rung)| {
                let cost = match temperature {
                    "hot" => Some(&rung.hot),
                    "cold" => rung.cold.as_ref(),
                    _ => rung.flushed.as_ref(),
                };
                let at = format!("micro.json#/rungs/{index}/{temperature}");
                Some((rung.name.clone(), temperature, at, cost?))
            })
    });
    all.collect()
}

/// The ladder as a plot.
pub fn forest(ladder: &MicroReport) -> Forest {
    let mut last = "";
    let rows = costs(ladder)
        .into_iter()
        .map(|(name, temperature, at, cost)| {
            let heading = match temperature {
                "hot" => "Hot",
                "cold" => "Cold: caches and branch predictors evicted",
                _ => "Flushed: the hook's memory is in no cache",
            };
            let group = (last != temperature).then(|| heading.to_owned());
            last = temperature;
            Row {
                group,
                label: name,
                class: "layer-micro".to_owned(),
                at: format!("{at}/overhead"),
                estimate: cost.overhead.clone(),
            }
        });
    Forest {
        id: "ladder",
        label: "What the hook adds to one read, rung by rung, with 95 % intervals".to_owned(),
        axis: "what the hook adds to one read".to_owned(),
        logarithmic: true,
        legend: Vec::new(),
        rows: rows.collect(),
    }
}

fn lines(ladder: &MicroReport) -> Vec<Line<'_>> {
    let costs = costs(ladder).into_iter();
    costs
        .flat_map(|(name, temperature, at, cost)| {
            [
                ("adds", "overhead", Some(&cost.overhead)),
                (
                    "more than the rung before",
                    "increment",
                    cost.increment.as_ref(),
                ),
                ("bare read", "bare_read", Some(&cost.bare_read)),
            ]
            .into_iter()
            .filter_map(move |(what, key, estimate)| {
                Line::of(
                    &format!("{name}, {temperature}: {what}"),
                    &format!("{at}/{key}"),
                    estimate,
                )
            })
            .collect::<Vec<_>>()
        })
        .collect()
}

//! How response times are distributed, and how each follows the other.

use maud::{Markup, html};

use super::response_times::of_load;
use super::{figure, missing, table};
use crate::chart::boxes::{Boxes, Named};
use crate::chart::lag::Lags;
use crate::chart::percentiles::Percentiles;
use crate::data::requests::{ArmSample, Requests};
use crate::format::{count, decimal, figure as shown, ns};
use crate::run::Run;

/// The plot of percentiles.
pub fn percentile_chart(run: &Run) -> Result<Percentiles<'_>, &str> {
    let distributions = run.distributions.as_ref().map_err(String::as_str)?;
    let arms = distributions.iter().map(|arm| (run.arm(&arm.arm), arm));
    Ok(Percentiles {
        arms: arms.collect(),
    })
}

/// Box plots.
pub fn box_chart(requests: &Requests) -> Boxes {
    let boxes = requests
        .arms
        .iter()
        .enumerate()
        .filter_map(|(arm, sample)| {
            Some(Named {
                group: None,
                name: sample.name.clone(),
                arm,
                figures: sample.box_?,
            })
        });
    Boxes {
        boxes: boxes.collect(),
    }
}

/// Lag plots.
pub fn lag_chart(requests: &Requests) -> Lags<'_> {
    let arms = requests.arms.iter().enumerate();
    Lags {
        arms: arms.filter(|(_, arm)| arm.lag.pairs() > 0).collect(),
    }
}

/// Response times by percentile.
pub fn percentiles(run: &Run) -> Markup {
    match percentile_chart(run) {
        Ok(chart) => html! {
            p { "Probes detached, outside the warm-up. Where lines lie upon each other, the arms do not differ there." }
            (figure(&chart, &load(run)))
        },
        Err(why) => missing("No percentiles:", why),
    }
}

/// The load generator's summary.
fn load(run: &Run) -> Markup {
    match &run.load {
        Ok(load) => of_load(load),
        Err(why) => missing("No summary:", why),
    }
}

/// Boxes and lag plots.
pub fn paper(run: &Run) -> Markup {
    let requests = match &run.requests {
        Ok(requests) => requests,
        Err(why) => return missing("No box plots and no lag plots:", why),
    };
    let (boxes, lags) = (box_chart(requests), lag_chart(requests));
    if boxes.boxes.is_empty() {
        return missing(
            "No box plots and no lag plots:",
            "no request outside the warm-up succeeded with the probes detached",
        );
    }
    html! {
        p {
            "Boxes reach from the first to the third quartile, with the median in bold and the mean as a diamond; whiskers to the \
             farthest value within 1.5 times the box. Values beyond them are counted below, not drawn."
        }
        (figure(&boxes, &box_figures(requests)))
        @if !lags.arms.is_empty() {
            p {
                "Lag plots set each response time beside the next. Independent requests make a round cloud; a stretched one says \
                 that slow requests follow slow ones, and that there is less information in them than their number says. Darker is \
                 more, by the logarithm of the count."
            }
            (figure(&lags, &lag_figures(run, requests)))
        }
    }
}

fn box_figures(requests: &Requests) -> Markup {
    let head = [
        "Arm",
        "Requests",
        "Lower whisker",
        "First quartile",
        "Median",
        "Mean",
        "Third quartile",
        "Upper whisker",
        "Below",
        "Above",
    ];
    let rows: Vec<(&ArmSample, _)> = requests
        .arms
        .iter()
        .filter_map(|arm| Some((arm, arm.box_?)))
        .collect();
    table(
        &head,
        &html! {
            @for (arm, figures) in rows {
                tr {
                    th scope="row" { (arm.name) }
                    td { (count(figures.n as u64)) }
                    @let [first, median, third] = figures.quartiles;
                    @let [low, high] = figures.whiskers;
                    @for value in [low, first, median, figures.mean, third, high] { td { (ns(value)) } }
                    @for beyond in figures.beyond { td { (count(beyond as u64)) } }
                }
            }
        },
    )
}

fn lag_figures(run: &Run, requests: &Requests) -> Markup {
    let lag1 = |name: &str| {
        let arms = &run.comparisons.as_ref().ok()?.arms;
        let index = arms.iter().position(|arm| arm.name == name)?;
        let value = arms[index].blocks.as_ref()?.requests_lag1?;
        let at = format!("comparison#/arms/{index}/blocks/requests_lag1");
        Some(shown(&at, value, &decimal(value, 3)))
    };
    table(
        &["Arm", "Pairs", "Correlation with the next"],
        &html! {
            @for arm in &requests.arms {
                tr {
                    th scope="row" { (arm.name) }
                    td { (count(arm.lag.pairs())) }
                    td { @if let Some(lag1) = lag1(&arm.name) { (lag1) } @else { "–" } }
                }
            }
        },
    )
}

//! How quantiles are shifted, A/B beside A/A.

use maud::{Markup, html};
use runlog::comparison::{Comparison, Comparisons};

use super::{Line, estimates, figure, missing, table};
use crate::chart::arm_class;
use crate::chart::forest::{Forest, Row};
use crate::format::{count, decimal, figure as shown, in_unit, percent, percentile, probability};
use crate::run::Run;

/// Shifts and tests.
pub fn body(run: &Run) -> Markup {
    let comparisons = match &run.comparisons {
        Ok(comparisons) => comparisons,
        Err(why) => return missing("No comparison of quantiles:", why),
    };
    html! {
        p {
            "Each arm against the first, probes detached. A second arm without the hook shows what the same procedure makes of no \
             difference at all (A/A): what is found there is noise of this machine and this run."
        }
        (figure(&forest(run, comparisons), &estimates(&lines(comparisons))))
        (tests(comparisons))
        @for note in &comparisons.notes { p class="note" { (note) } }
    }
}

/// The shifts as a plot.
pub fn forest(run: &Run, comparisons: &Comparisons) -> Forest {
    let mut rows = Vec::new();
    for (index, comparison) in comparisons.comparisons.iter().enumerate() {
        let mut group = Some(format!(
            "{} minus {}",
            comparison.treatment, comparison.baseline
        ));
        for line in lines_of(index, comparison) {
            rows.push(Row {
                group: group.take(),
                label: line.name,
                class: arm_class(run.arm(&comparison.treatment)),
                at: line.at,
                estimate: line.estimate.clone(),
            });
        }
    }
    Forest {
        id: "shifts",
        label: "Shift of mean and quantiles, with 95 % intervals".to_owned(),
        axis: "shift against the first arm".to_owned(),
        logarithmic: true,
        legend: Vec::new(),
        rows,
    }
}

/// What the treatment adds in time.
fn lines_of(index: usize, comparison: &Comparison) -> Vec<Line<'_>> {
    let at = format!("comparison#/comparisons/{index}");
    let effect = comparison.effect.as_ref();
    let parts = [
        ("body of the mean", "body", effect.map(|of| &of.body)),
        ("tail of the mean", "tail", effect.map(|of| &of.tail)),
        ("mean", "mean", effect.map(|of| &of.mean)),
    ];
    let parts = parts.into_iter().filter_map(|(name, key, part)| {
        Line::of(name, &format!("{at}/effect/{key}"), part?.as_ref())
    });
    let shifts = comparison
        .beyond_means
        .iter()
        .flat_map(|beyond| &beyond.quantile_shifts);
    let shifts = shifts.enumerate().filter_map(|(place, shift)| {
        let at = format!("{at}/beyond_means/quantile_shifts/{place}/shift");
        Line::of(&percentile(shift.quantile), &at, shift.shift.as_ref())
    });
    parts.chain(shifts).collect()
}

/// Its estimates.
pub fn lines(comparisons: &Comparisons) -> Vec<Line<'_>> {
    let all = comparisons.comparisons.iter().enumerate();
    all.flat_map(|(index, comparison)| {
        let at = format!("comparison#/comparisons/{index}");
        let effect = comparison.effect.as_ref();
        let share_above = effect.and_then(|effect| effect.share_above.as_ref());
        let beyond = comparison.beyond_means.as_ref();
        let delta = beyond.and_then(|beyond| beyond.cliffs_delta.as_ref());
        let others = [
            (
                "share above the threshold",
                "effect/share_above",
                share_above,
            ),
            ("Cliff's delta", "beyond_means/cliffs_delta", delta),
        ];
        let others = others
            .into_iter()
            .filter_map(|(name, key, estimate)| Line::of(name, &format!("{at}/{key}"), estimate));
        let lines = lines_of(index, comparison).into_iter().chain(others);
        let lines = lines.map(|line| Line {
            name: format!("{}: {}", comparison.treatment, line.name),
            ..line
        });
        lines.collect::<Vec<_>>()
    })
    .collect()
}

fn tests(comparisons: &Comparisons) -> Markup {
    let head = [
        "Minus the first arm",
        "t",
        "Degrees of freedom",
        "p",
        "p by Holm",
        "Could detect",
        "Blocks for one of the size found",
        "p99.9 holds in simulation",
    ];
    let dash = || "–".to_owned();
    table(
        &head,
        &html! {
            @for (index, comparison) in comparisons.comparisons.iter().enumerate() {
                @let at = format!("comparison#/comparisons/{index}");
                @let beyond = comparison.beyond_means.as_ref();
                tr {
                    th scope="row" { (comparison.treatment) }
                    td { @if let Some(t) = comparison.t { (shown(&format!("{at}/t"), t, &decimal(t, 3))) } @else { "–" } }
                    td {
                        @if let Some(degrees) = comparison.degrees_of_freedom {
                            (shown(&format!("{at}/degrees_of_freedom"), degrees, &decimal(degrees, 1)))
                        } @else { "–" }
                    }
                    td { (probability(comparison.p)) }
                    td { (probability(comparison.p_holm)) }
                    td {
                        @if let Some(effect) = beyond.and_then(|beyond| beyond.minimum_detectable_effect) {
                            (shown(&format!("{at}/beyond_means/minimum_detectable_effect"), effect,
                                &in_unit(effect, comparisons.unit)))
                        } @else { "–" }
                    }
                    td { (beyond.and_then(|beyond| beyond.blocks_to_detect_difference).map_or_else(dash, |blocks| count(blocks as u64))) }
                    td {
                        (beyond.and_then(|beyond| beyond.quantile_shifts.last()?.simulated_coverage)
                            .map_or_else(dash, |share| percent(share, 1)))
                    }
                }
            }
        },
    )
}

//! The three layers side by side.

use maud::{Markup, html};
use runlog::analysis::Analysis;
use runlog::estimate::Estimate;

use super::trial::part_lines;
use super::{Line, estimates, figure};
use crate::chart::forest::{Forest, Row};
use crate::format::{interval, value};

/// The layers as cards, then on one axis.
pub fn body(analysis: &Analysis) -> Markup {
    html! {
        div class="cards" {
            (card("micro", "Micro", "one call, alone, in a tight loop",
                ("analysis.json#/micro/hook_overhead", analysis.micro.hook_overhead.as_ref()),
                analysis.micro.missing.as_deref()))
            (in_situ_card(analysis))
            (card("macro", "Macro", compared(analysis).card,
                ("analysis.json#/macro/difference", analysis.macro_.difference.as_ref()),
                analysis.macro_.missing.as_deref()))
        }
        @let forest = forest(analysis);
        @if !forest.rows.is_empty() { (figure(&forest, &estimates(&lines(analysis)))) }
    }
}

/// The corrected figure, where the probes were calibrated.
fn in_situ_card(analysis: &Analysis) -> Markup {
    let in_situ = &analysis.in_situ;
    let (what, at, estimate) = match &in_situ.hook_overhead_corrected {
        Some(corrected) => (
            "one call in the running server, less what timing adds",
            "analysis.json#/in_situ/hook_overhead_corrected",
            Some(corrected),
        ),
        None => (
            if analysis.trial.is_some() {
                "one call in the running server, less what timing adds to any"
            } else {
                "one call in the running server, timing included"
            },
            "analysis.json#/in_situ/hook_overhead",
            in_situ.hook_overhead.as_ref(),
        ),
    };
    card(
        "in-situ",
        "In situ",
        what,
        (at, estimate),
        in_situ.missing.as_deref(),
    )
}

fn card(
    class: &str,
    name: &str,
    what: &str,
    (at, estimate): (&str, Option<&Estimate>),
    why: Option<&str>,
) -> Markup {
    html! {
        div class=(format!("card layer-{class}")) {
            h3 { (name) }
            @match estimate {
                Some(estimate) => {
                    p class="big" { (value(at, estimate)) }
                    p { (interval(at, estimate)) }
                    p class="what" { (what) }
                },
                None => {
                    p class="big none" { "none" }
                    p class="what" { (why.unwrap_or("it was not measured")) }
                },
            }
        }
    }
}

/// What is compared end to end, in words.
struct Compared {
    card: &'static str,
    hooked: &'static str,
    equal: &'static str,
    baseline: &'static str,
}

fn compared(analysis: &Analysis) -> Compared {
    if analysis.is_by_completed_request() {
        Compared {
            card: "time per completed request, on minus off",
            hooked: "Macro: on minus off",
            equal: "A/A: null minus off",
            baseline: "off",
        }
    } else if analysis.trial.is_some() {
        Compared {
            card: "a request, end to end, on minus off",
            hooked: "Macro: on minus off",
            equal: "A/A: null minus off",
            baseline: "off",
        }
    } else {
        Compared {
            card: "a request, end to end, hooked minus baseline",
            hooked: "Macro: hooked minus baseline",
            equal: "A/A: baseline-2 minus baseline",
            baseline: "baseline",
        }
    }
}

/// The layers as a plot.
pub fn forest(analysis: &Analysis) -> Forest {
    let row = |(label, class, at, estimate): (&str, &str, &str, &Option<Estimate>)| {
        Some(Row {
            group: None,
            label: label.to_owned(),
            class: class.to_owned(),
            at: format!("analysis.json#/{at}"),
            estimate: estimate.clone()?,
        })
    };
    let micro = &analysis.micro;
    let in_situ = &analysis.in_situ;
    let macro_ = &analysis.macro_;
    let seen = if in_situ.hook_overhead_corrected.is_some() {
        (
            "In situ, a call, less timing",
            "in_situ/hook_overhead_corrected",
            &in_situ.hook_overhead_corrected,
        )
    } else {
        (
            "In situ, a call",
            "in_situ/hook_overhead",
            &in_situ.hook_overhead,
        )
    };
    let undisturbed = analysis
        .trial
        .as_ref()
        .and_then(|trial| Some(trial.undisturbed.as_ref()?.of_hook()?.end_to_end.clone()));
    let rows = [
        (
            "Micro, hot",
            "layer-micro",
            "micro/hook_overhead",
            &micro.hook_overhead,
        ),
        (
            "Micro, caches evicted",
            "layer-micro",
            "micro/hook_overhead_cold",
            &micro.hook_overhead_cold,
        ),
        (seen.0, "layer-in-situ", seen.1, seen.2),
        (
            compared(analysis).hooked,
            "layer-macro",
            "macro/difference",
            &macro_.difference,
        ),
        (
            "Macro, a request that nothing disturbs",
            "layer-macro",
            "trial/undisturbed/effects/on/end_to_end",
            &undisturbed,
        ),
        (
            compared(analysis).equal,
            "layer-a-a",
            "macro/a_a_difference",
            &macro_.a_a_difference,
        ),
    ];
    // Bodies stand above, as differences of means.
    let effects = of_effects(analysis).filter(|line| !line.at.ends_with("/body"));
    let others = effects.chain(of_other_arms(analysis)).map(|line| Row {
        group: None,
        label: line.name,
        class: "layer-macro".to_owned(),
        at: line.at,
        estimate: line.estimate.clone(),
    });
    Forest {
        id: "layers",
        label: "Hook overhead at three layers, with 95 % intervals".to_owned(),
        axis: "what the hook adds, mean and 95 % interval,".to_owned(),
        logarithmic: false,
        legend: Vec::new(),
        rows: rows.into_iter().filter_map(row).chain(others).collect(),
    }
}

/// What arms differ by from the baseline where whole servers are compared.
fn of_effects(analysis: &Analysis) -> impl Iterator<Item = Line<'_>> {
    let effects = analysis.macro_.effects.iter();
    effects.flat_map(|(arm, effect)| {
        part_lines("analysis.json#/macro", arm, effect).map(move |line| Line {
            name: format!("{arm} minus baseline, {}", line.name),
            ..line
        })
    })
}

/// What is typical where means stand above, and the other way round.
fn of_other_estimands(analysis: &Analysis) -> impl Iterator<Item = Line<'_>> {
    let typical = analysis.agreement_typical.as_ref();
    [
        (
            "Micro, mean cost",
            "micro/hook_overhead_mean",
            analysis.micro.hook_overhead_mean.as_ref(),
        ),
        (
            "In situ, a typical call",
            "in_situ/hook_overhead_typical",
            analysis.in_situ.hook_overhead_typical.as_ref(),
        ),
        (
            "In situ, of a typical request",
            "agreement_typical/in_situ_per_request",
            typical.map(|found| &found.in_situ_per_request),
        ),
        (
            "Left unexplained, of a typical request",
            "agreement_typical/unexplained",
            typical.map(|found| &found.unexplained),
        ),
        (
            "Share explained, of a typical request",
            "agreement_typical/explained_share",
            typical.and_then(|found| found.explained_share.as_ref()),
        ),
    ]
    .into_iter()
    .filter_map(|(name, at, estimate)| Line::of(name, &format!("analysis.json#/{at}"), estimate))
}

/// The shares of response times above the threshold that arms differ by.
fn of_shares_above(analysis: &Analysis) -> impl Iterator<Item = Line<'_>> {
    let effects = analysis.macro_.effects.iter();
    effects.filter_map(|(arm, effect)| {
        Some(Line {
            name: format!("{arm} minus baseline, share above the threshold"),
            at: format!("analysis.json#/macro/effects/{arm}/share_above"),
            estimate: effect.share_above.as_ref()?,
        })
    })
}

/// The differences of the arms beside the two baselines and the hooked one.
fn of_other_arms(analysis: &Analysis) -> impl Iterator<Item = Line<'_>> {
    let differences = analysis.macro_.other_differences.iter();
    differences.map(|(arm, estimate)| Line {
        name: format!("{arm} minus {}", compared(analysis).baseline),
        at: format!("analysis.json#/macro/other_differences/{arm}"),
        estimate,
    })
}

/// Its estimates.
pub fn lines(analysis: &Analysis) -> Vec<Line<'_>> {
    let micro = &analysis.micro;
    let in_situ = &analysis.in_situ;
    let macro_ = &analysis.macro_;
    let response_times = macro_.response_time.iter().map(|(arm, estimate)| Line {
        name: format!("Response time of {arm}"),
        at: format!("analysis.json#/macro/response_time/{arm}"),
        estimate,
    });
    let agreement = analysis.agreement.as_ref();
    [
        (
            "Micro, hot",
            "micro/hook_overhead",
            micro.hook_overhead.as_ref(),
        ),
        (
            "Micro, caches and predictors evicted",
            "micro/hook_overhead_cold",
            micro.hook_overhead_cold.as_ref(),
        ),
        (
            "In situ, one call",
            "in_situ/hook_overhead",
            in_situ.hook_overhead.as_ref(),
        ),
        (
            "In situ, less what timing adds",
            "in_situ/hook_overhead_corrected",
            in_situ.hook_overhead_corrected.as_ref(),
        ),
        (
            "read(2) in the kernel",
            "in_situ/read_syscall",
            in_situ.read_syscall.as_ref(),
        ),
        (
            "read(2), less what the kernel pair adds",
            "in_situ/read_syscall_corrected",
            in_situ.read_syscall_corrected.as_ref(),
        ),
        (
            "Hooked reads of a request",
            "in_situ/calls_per_request",
            in_situ.calls_per_request.as_ref(),
        ),
        (
            "Bytes of a hooked read",
            "in_situ/bytes_per_call",
            in_situ.bytes_per_call.as_ref(),
        ),
        (
            "In situ, one request",
            "agreement/in_situ_per_request",
            agreement.map(|found| &found.in_situ_per_request),
        ),
        (
            compared(analysis).hooked,
            "macro/difference",
            macro_.difference.as_ref(),
        ),
        (
            compared(analysis).equal,
            "macro/a_a_difference",
            macro_.a_a_difference.as_ref(),
        ),
        (
            "Left unexplained",
            "agreement/unexplained",
            agreement.map(|found| &found.unexplained),
        ),
        (
            "read(2), hooked minus baseline",
            "agreement/lines/read_syscall",
            agreement.and_then(|found| found.lines.get("read_syscall")),
        ),
    ]
    .into_iter()
    .filter_map(|(name, at, estimate)| Line::of(name, &format!("analysis.json#/{at}"), estimate))
    .chain(of_other_estimands(analysis))
    .chain(of_effects(analysis))
    .chain(of_shares_above(analysis))
    .chain(of_other_arms(analysis))
    .chain(response_times)
    .collect()
}

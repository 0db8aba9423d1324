//! What is said first of a run: whether its result may be used, what it is, and why; in words that the terminal and
//! the report share.

use runlog::analysis::{Agreement, Analysis, Verdict};
use runlog::estimate::Estimate;
use runlog::manifest::Resources;
use runlog::quantity::{self, ns};
use runlog::trial::{SlicesResult, Undisturbed};

use crate::agreement::LEAST_MARGIN_NS;
use crate::as_interval;
use crate::doubt::{Doubt, Limit, find};

/// How good the news is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    /// The layers agree.
    Good,
    /// There is a result, and something to know about it.
    Plain,
    /// No verdict, as the run has not settled that.
    Open,
    /// Something went wrong in the run.
    Bad,
}

/// The judgement of a run.
#[derive(Debug)]
pub struct Judgement<'a> {
    /// How good it is.
    pub tone: Tone,
    /// One line.
    pub headline: String,
    /// Everything that speaks against the result, once each.
    pub reasons: Vec<String>,
    /// What is behind it: paragraphs.
    pub text: Vec<Vec<Part<'a>>>,
}

/// A part of a sentence. Figures say where in `analysis.json` they stand, as a JSON pointer.
#[derive(Clone, Debug)]
pub enum Part<'a> {
    /// Words.
    Text(String),
    /// An estimate and its interval.
    Estimate(&'static str, &'a Estimate),
    /// A duration in ns.
    Ns(&'static str, f64),
    /// A count.
    Count(&'static str, usize),
}

/// Judges a run by its analysis, and by the limits that it hit.
pub fn judge<'a>(analysis: &'a Analysis, resources: Option<&Resources>) -> Judgement<'a> {
    let limits = resources.map(find::of_resources).unwrap_or_default();
    let facts: Vec<Doubt> = limits.into_iter().chain(a_a_fails(analysis)).collect();
    let (tone, headline) = bad_headline(analysis, &facts).unwrap_or_else(|| verdict(analysis));
    let withheld = match &analysis.agreement {
        Some(agreement) => agreement.withheld.clone(),
        // Nobody looked at these where there was nothing to agree.
        None => facts.iter().map(ToString::to_string).collect(),
    };
    let mut reasons: Vec<String> = Vec::new();
    for reason in analysis
        .not_usable
        .iter()
        .chain(&withheld)
        .chain(&analysis.warnings)
    {
        // What the headline says need not be said again.
        if !reasons.contains(reason) && !headline.contains(reason.as_str()) {
            reasons.push(reason.clone());
        }
    }
    Judgement {
        tone,
        headline,
        reasons,
        text: text(analysis),
    }
}

/// Whether two equal servers differ by more than the layers may. The negative control of a trial is no second server; what it says
/// stands with the others' doubts.
fn a_a_fails(analysis: &Analysis) -> Option<Doubt> {
    let a_a = analysis.macro_.a_a_difference.as_ref();
    let a_a = a_a.filter(|_| analysis.trial.is_none())?;
    let of_agreement = analysis.agreement.as_ref().and_then(|of| of.margin_ns);
    let is_of_today = analysis.macro_.threshold_ns.is_some();
    // In runs of earlier versions it failed as soon as servers differed at all.
    let margin_ns = of_agreement.unwrap_or(if is_of_today { LEAST_MARGIN_NS } else { 0.0 });
    find::of_a_a(as_interval(a_a), margin_ns)
}

/// What has to be said before anything else.
fn bad_headline(analysis: &Analysis, facts: &[Doubt]) -> Option<(Tone, String)> {
    let ledger = analysis.ledger.as_ref();
    let headline = if ledger.is_some_and(|ledger| !ledger.balanced) {
        format!("Do not use this result: {}.", Doubt::Unbalanced)
    } else if !analysis.is_usable() {
        "Do not use this result.".to_owned()
    } else {
        facts.iter().find_map(|fact| match fact {
            Doubt::Limit(Limit::Throttled(_)) => {
                Some("No verdict: the servers' CPU was throttled during this run.".to_owned())
            }
            Doubt::AaFails { .. } => {
                Some("No verdict: A/A fails. Two equal servers differ in this run.".to_owned())
            }
            _ => None,
        })?
    };
    Some((Tone::Bad, headline))
}

/// The verdict on means of all requests; where that is open, the one on requests that nothing disturbs, which have controls of their
/// own, or on typical requests.
fn verdict(analysis: &Analysis) -> (Tone, String) {
    let Some(agreement) = &analysis.agreement else {
        let headline = "The layers cannot be compared in this run.";
        return (Tone::Plain, headline.to_owned());
    };
    let whole = whole(analysis);
    let is_settled = |of: &&Agreement| matches!(of.verdict, Verdict::Agree | Verdict::Differ);
    let undisturbed = undisturbed(analysis).and_then(|of| of.agreement.as_ref());
    let sharper = [
        (undisturbed, "requests that nothing disturbs"),
        (analysis.agreement_typical.as_ref(), "a typical request"),
    ];
    let sharper = sharper.into_iter().find_map(|(agreement, of)| {
        let agreement = agreement.filter(is_settled)?;
        let (tone, headline) = of_verdict(agreement, whole);
        Some((
            tone,
            headline.replacen("layers", &format!("layers, for {of},"), 1),
        ))
    });
    match sharper {
        Some(sharper) if !is_settled(&agreement) => sharper,
        _ => of_verdict(agreement, whole),
    }
}

/// What the calls are held against: its name, and where it is.
#[derive(Clone, Copy)]
struct Whole {
    difference: &'static str,
    place: &'static str,
}

fn whole(analysis: &Analysis) -> Whole {
    if analysis.is_by_completed_request() {
        Whole {
            difference: "difference of the time per completed request",
            place: "per completed request",
        }
    } else {
        Whole {
            difference: "end-to-end difference",
            place: "end to end",
        }
    }
}

fn slices(analysis: &Analysis) -> Option<&SlicesResult> {
    analysis.trial.as_ref()?.slices.as_deref()
}

fn of_verdict(agreement: &Agreement, whole: Whole) -> (Tone, String) {
    match agreement.verdict {
        Verdict::Agree => {
            let within_ns = agreement.within_ns.or(agreement.margin_ns);
            let within_ns = within_ns.unwrap_or(agreement.resolution_ns);
            let hook = &agreement.in_situ_per_request;
            // Of a hook that takes nothing there is no share.
            let of_hook = if hook.ci95[0] > 0.0 {
                format!(
                    ", {:.0} % of what the hook takes",
                    100.0 * within_ns / hook.estimate
                )
            } else {
                String::new()
            };
            let within = ns(within_ns);
            let headline = format!("The layers agree to within {within}{of_hook}.");
            (Tone::Good, headline)
        }
        Verdict::Unresolved => {
            let headline = match agreement.margin_ns {
                Some(margin_ns) => format!(
                    "This run cannot tell whether the layers agree to within {}.",
                    ns(margin_ns)
                ),
                None => "The hook costs less than this run can see end to end.".to_owned(),
            };
            (Tone::Open, headline)
        }
        Verdict::Differ => {
            let more = more_or_less(agreement);
            let [by, interval] = quantity::estimate(&agreement.unexplained);
            let headline = format!(
                "The layers differ by {by} {interval}: {} the hook costs {more} than its calls.",
                whole.place
            );
            (Tone::Plain, headline)
        }
        Verdict::Withheld => {
            let headline = "No verdict on whether the layers agree.";
            (Tone::Open, headline.to_owned())
        }
    }
}

fn more_or_less(agreement: &Agreement) -> &'static str {
    if agreement.unexplained.estimate > 0.0 {
        "more"
    } else {
        "less"
    }
}

fn text(analysis: &Analysis) -> Vec<Vec<Part<'_>>> {
    let layers = [
        ("micro", &analysis.micro.missing),
        ("in-situ", &analysis.in_situ.missing),
        ("macro", &analysis.macro_.missing),
    ];
    let missing = layers.into_iter().filter_map(|(layer, missing)| {
        let why = missing.as_ref()?;
        Some(vec![Part::Text(format!(
            "There is no {layer} layer: {why}."
        ))])
    });
    let agreement = analysis.agreement.iter();
    let undisturbed = undisturbed(analysis).and_then(of_undisturbed);
    let whole = whole(analysis);
    let of_slices = slices(analysis).and_then(|slices| of_slices(analysis, slices));
    of_slices
        .into_iter()
        .chain(agreement.flat_map(|agreement| {
            of_agreement(agreement, analysis.agreement_typical.as_ref(), whole)
        }))
        .chain(undisturbed)
        .chain(missing)
        .collect()
}

/// What the hook costs everyone: per completed request, or in an open loop in mean response times.
fn of_slices<'a>(analysis: &'a Analysis, slices: &'a SlicesResult) -> Option<Vec<Part<'a>>> {
    let words = |text: &str| Part::Text(text.to_owned());
    let (what, response, at) = if analysis.is_by_completed_request() {
        let at = "/trial/slices/responses/per_completed/slope";
        ("time per completed request", "per_completed", at)
    } else {
        let at = "/trial/slices/responses/mean/slope";
        ("mean response time", "mean", at)
    };
    let mut sentences = vec![
        Part::Text(format!("The {what} is ")),
        Part::Estimate("/macro/difference", analysis.macro_.difference.as_ref()?),
        words(" longer with the hook"),
    ];
    let response = slices.responses.get(response);
    if let Some(slope) = response.and_then(|doses| doses.slope.as_ref()) {
        sentences.push(words("; of each ns of delay in the hook it takes "));
        sentences.push(Part::Estimate(at, slope));
        sentences.push(words(" ns"));
    }
    sentences.push(words("."));
    Some(sentences)
}

fn undisturbed(analysis: &Analysis) -> Option<&Undisturbed> {
    analysis.trial.as_ref()?.undisturbed.as_ref()
}

fn of_undisturbed(undisturbed: &Undisturbed) -> Option<Vec<Part<'_>>> {
    let words = |text: &str| Part::Text(text.to_owned());
    let on = undisturbed.of_hook()?;
    let mut sentences = vec![
        words("A request that nothing disturbs takes "),
        Part::Estimate("/trial/undisturbed/effects/on/end_to_end", &on.end_to_end),
        words(" longer with the hook"),
    ];
    if let Some(outside) = &on.outside_call {
        sentences.push(words("; of that, "));
        sentences.push(Part::Estimate(
            "/trial/undisturbed/effects/on/outside_call",
            outside,
        ));
        sentences.push(words(" lies outside of its calls"));
    }
    sentences.push(Part::Text(format!(
        " ({:.0} % of the requests began undisturbed).",
        100.0 * undisturbed.share
    )));
    Some(sentences)
}

/// Why an agreement is not resolved, and what would resolve it.
fn of_what_is_needed(agreement: &Agreement) -> Vec<Part<'_>> {
    let words = |text: &str| Part::Text(text.to_owned());
    let mut parts = vec![words(if agreement.a_a_within_ns > agreement.margin_ns {
        ", or that of two arms that do the same does. "
    } else {
        ". "
    })];
    match &agreement.needed {
        Some(needed) => parts.extend([
            words("To show that the layers agree, if they do, a run needs about "),
            Part::Count("/agreement/needed/observations", needed.observations),
            Part::Text(format!(" {} as long as the ", needed.of)),
            Part::Count("/agreement/needed/now", needed.now),
            words(" of this one (power 0.8)."),
        ]),
        // In runs of earlier versions.
        None if let Some(more) = agreement.blocks_more => parts.extend([
            words("About "),
            Part::Count("/agreement/blocks_more", more),
            words(" more blocks would resolve it."),
        ]),
        None if agreement.within_ns.is_none() => {
            parts.push(words("More blocks or processes would help."));
        }
        None => parts.push(words(
            "More of the same would hardly settle it: the gap lies near the margin, or intervals are too wide.",
        )),
    }
    parts
}

fn of_agreement<'a>(
    agreement: &'a Agreement,
    typical: Option<&'a Agreement>,
    whole: Whole,
) -> Vec<Vec<Part<'a>>> {
    const PER_REQUEST: &str = "/agreement/in_situ_per_request";
    let words = |text: &str| Part::Text(text.to_owned());
    let bound = match agreement.margin_ns {
        Some(margin_ns) => Part::Ns("/agreement/margin_ns", margin_ns),
        // In runs of earlier versions.
        None => Part::Ns("/agreement/resolution_ns", agreement.resolution_ns),
    };
    let mut costs = vec![
        words("Inside the server the hook takes "),
        Part::Estimate(PER_REQUEST, &agreement.in_situ_per_request),
        Part::Text(format!(" of a request. Of the {}, ", whole.difference)),
        Part::Estimate("/agreement/unexplained", &agreement.unexplained),
        words(" is left unexplained"),
    ];
    match agreement.verdict {
        Verdict::Agree => costs.extend([
            words(": all of its interval lies within "),
            bound,
            words(if agreement.unexplained.excludes_zero() {
                " of 0, though not on both sides of it: a part of the cost lies elsewhere."
            } else {
                " of 0."
            }),
        ]),
        Verdict::Unresolved => {
            costs.extend([words(": its interval reaches beyond "), bound]);
            costs.extend(of_what_is_needed(agreement));
        }
        Verdict::Differ => costs.push(words(match more_or_less(agreement) {
            "more" => {
                ": part of the cost lies outside of the calls, as in caches and branch predictors."
            }
            _ => {
                ": a call costs more while it is watched, or part of it is hidden elsewhere in the \
                 request."
            }
        })),
        Verdict::Withheld => costs.extend([
            words("; differences below "),
            Part::Ns("/agreement/resolution_ns", agreement.resolution_ns),
            words(" cannot be seen in this run."),
        ]),
    }
    let a_a = agreement.a_a_within_ns.map(|within_ns| {
        vec![
            words("Of two arms that do the same this run makes a difference of at most "),
            Part::Ns("/agreement/a_a_within_ns", within_ns),
            words("."),
        ]
    });
    let typical = typical.and_then(|typical| {
        Some(vec![
            words("Of a typical request (medians) the calls take "),
            Part::Estimate(
                "/agreement_typical/in_situ_per_request",
                &typical.in_situ_per_request,
            ),
            words(", and "),
            Part::Estimate("/agreement_typical/unexplained", &typical.unexplained),
            words(" of the end-to-end difference is left unexplained; two arms that do the same differ by at most "),
            Part::Ns("/agreement_typical/a_a_within_ns", typical.a_a_within_ns?),
            words("."),
        ])
    });
    let share = agreement.explained_share.as_ref().map(|share| {
        vec![
            words("The calls explain "),
            Part::Estimate("/agreement/explained_share", share),
            Part::Text(format!(" of the {} (1 is all of it).", whole.difference)),
        ]
    });
    let reads = agreement.lines.get("read_syscall");
    let reads = reads.filter(|_| agreement.verdict == Verdict::Differ);
    let reads = reads.map(|reads| {
        vec![
            words("Of the parts of a request that both arms show, read(2) differs by "),
            Part::Estimate("/agreement/lines/read_syscall", reads),
            words(if reads.excludes_zero() {
                " a call: part of the difference is there."
            } else {
                " a call: the difference is not there, but in application, write_syscall or rest."
            }),
        ]
    });
    [Some(costs), a_a, typical, share, reads]
        .into_iter()
        .flatten()
        .collect()
}

#[cfg(test)]
mod tests;

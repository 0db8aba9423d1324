//! What is said first of a run: whether its result may be used, what it is, and why; in words that the terminal and
//! the report share.

use runlog::analysis::{Agreement, Analysis, Verdict};
use runlog::estimate::Estimate;
use runlog::manifest::Resources;
use runlog::trial::Undisturbed;

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
    // The negative control of a trial is no second server; what it says stands with the others' doubts.
    let a_a = analysis.macro_.a_a_difference.as_ref();
    let a_a = a_a.filter(|_| analysis.trial.is_none());
    let facts: Vec<Doubt> = limits
        .into_iter()
        .chain(a_a.and_then(find::of_a_a))
        .collect();
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

/// The verdict on means of all requests; where there is none, that on requests that nothing disturbs, which have controls of
/// their own.
fn verdict(analysis: &Analysis) -> (Tone, String) {
    let Some(agreement) = &analysis.agreement else {
        let headline = "The layers cannot be compared in this run.";
        return (Tone::Plain, headline.to_owned());
    };
    let is_settled = |of: &&Agreement| matches!(of.verdict, Verdict::Agree | Verdict::Differ);
    let undisturbed = undisturbed(analysis).and_then(|of| of.agreement.as_ref());
    match undisturbed.filter(is_settled) {
        Some(undisturbed) if !is_settled(&agreement) => {
            let (tone, headline) = of_verdict(undisturbed);
            let layers = "layers, for requests that nothing disturbs,";
            (tone, headline.replacen("layers", layers, 1))
        }
        _ => of_verdict(agreement),
    }
}

fn of_verdict(agreement: &Agreement) -> (Tone, String) {
    match agreement.verdict {
        Verdict::Agree => {
            let within_ns = agreement.margin_ns.unwrap_or(agreement.resolution_ns);
            let headline = format!("The layers agree to within {within_ns:.0} ns.");
            (Tone::Good, headline)
        }
        Verdict::Unresolved => {
            let headline = match agreement.margin_ns {
                Some(margin_ns) => format!(
                    "This run does not show whether the layers agree to within {margin_ns:.0} ns."
                ),
                None => "The hook costs less than this run can see end to end.".to_owned(),
            };
            (Tone::Open, headline)
        }
        Verdict::Differ => {
            let more = more_or_less(agreement);
            let headline =
                format!("The layers differ: end to end the hook costs {more} than its calls.");
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
    agreement
        .flat_map(of_agreement)
        .chain(undisturbed)
        .chain(missing)
        .collect()
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

fn of_agreement(agreement: &Agreement) -> Vec<Vec<Part<'_>>> {
    const PER_REQUEST: &str = "/agreement/in_situ_per_request";
    let words = |text: &str| Part::Text(text.to_owned());
    let resolution = Part::Ns("/agreement/resolution_ns", agreement.resolution_ns);
    let mut costs = vec![
        words("Inside the server the hook takes "),
        Part::Estimate(PER_REQUEST, &agreement.in_situ_per_request),
        words(" of a request. Of the end-to-end difference, "),
        Part::Estimate("/agreement/unexplained", &agreement.unexplained),
        words(" is left unexplained"),
    ];
    match agreement.verdict {
        Verdict::Agree | Verdict::Unresolved if let Some(margin_ns) = agreement.margin_ns => costs
            .extend([
                words(if agreement.verdict == Verdict::Agree {
                    ": all of the interval lies within "
                } else {
                    ": the interval reaches beyond an end of "
                }),
                Part::Ns("/agreement/margin_ns", margin_ns),
                words(" of 0. Its half-width is "),
                resolution,
                words("; more processes make it less."),
            ]),
        Verdict::Agree => costs.extend([
            words(", which cannot be distinguished from 0. Differences below "),
            resolution,
            words(" cannot be seen."),
        ]),
        Verdict::Unresolved => {
            costs.extend([words("; differences below "), resolution]);
            costs.push(words(" cannot be seen in this run. "));
            match agreement.blocks_more {
                Some(more) => costs.extend([
                    words("About "),
                    Part::Count("/agreement/blocks_more", more),
                    words(" more blocks would resolve it."),
                ]),
                None => costs.push(words("More blocks would help.")),
            }
        }
        Verdict::Differ => {
            costs.push(words(match more_or_less(agreement) {
                "more" => {
                    ": part of the cost lies outside of the calls, as in caches and branch predictors. \
                     Differences below "
                }
                _ => {
                    ": a call costs more while it is watched, or part of it is hidden elsewhere in the \
                     request. Differences below "
                }
            }));
            costs.extend([resolution, words(" cannot be seen.")]);
        }
        Verdict::Withheld => costs.extend([
            words("; differences below "),
            resolution,
            words(" cannot be seen in this run."),
        ]),
    }
    let share = agreement.explained_share.as_ref().map(|share| {
        vec![
            words("The calls explain "),
            Part::Estimate("/agreement/explained_share", share),
            words(" of the end-to-end difference (1 is all of it)."),
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
    [Some(costs), share, reads].into_iter().flatten().collect()
}

#[cfg(test)]
mod tests;

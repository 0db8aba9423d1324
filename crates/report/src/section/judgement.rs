//! What the page says first: whether the result may be used, and what it is.

use maud::{Markup, html};
use runlog::analysis::{Agreement, Analysis, Verdict};
use runlog::estimate::Estimate;

use crate::format::{Print, count, figure, interval, value, value_and_interval};
use crate::run::Run;

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

impl Tone {
    fn class(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Plain => "plain",
            Self::Open => "open",
            Self::Bad => "bad",
        }
    }
}

/// The judgement of a run.
#[derive(Debug)]
pub struct Judgement {
    /// How good it is.
    pub tone: Tone,
    /// One line.
    pub headline: String,
    /// What is behind it.
    pub text: Markup,
    /// Why it is bad, each a sentence.
    pub reasons: Vec<String>,
}

/// Whether a result is usable, in a word.
pub fn usable(run: &Run) -> Markup {
    match run.analysed() {
        Some(analysis) if analysis.not_usable.is_empty() => {
            html! { span class="state good" { "usable" } }
        }
        Some(_) => html! { span class="state bad" { "not usable" } },
        None => html! { span class="state bad" { "no result" } },
    }
}

/// What makes a result usable.
pub fn why_usable(analysis: &Analysis) -> String {
    let mut grounds = Vec::new();
    if analysis
        .ledger
        .as_ref()
        .is_some_and(|ledger| ledger.balanced)
    {
        grounds.push("the ledger balances".to_owned());
    }
    if let Some(join) = &analysis.join {
        grounds.push(format!(
            "{} of {} requests joined to their reads",
            count(join.matched),
            count(join.requests)
        ));
    }
    let (sent, failed) = analysis
        .requests
        .values()
        .fold((0, 0), |(sent, failed), requests| {
            (
                sent + requests.sent,
                failed + requests.failed.values().sum::<u64>(),
            )
        });
    grounds.push(format!(
        "{} of {} requests failed",
        count(failed),
        count(sent)
    ));
    grounds.join("; ")
}

/// The block at the top.
pub fn block(run: &Run) -> Markup {
    draw(&judge(run))
}

/// A judgement as a block.
pub fn draw(judgement: &Judgement) -> Markup {
    html! {
        div class=(format!("judgement {}", judgement.tone.class())) {
            h2 class="headline" { (judgement.headline) }
            @if !judgement.reasons.is_empty() {
                ul { @for reason in &judgement.reasons { li { (reason) } } }
            }
            (judgement.text)
        }
    }
}

/// Judges.
pub fn judge(run: &Run) -> Judgement {
    let analysis = match &run.analysis {
        Ok(analysis) => analysis,
        Err(why) => {
            return Judgement {
                tone: Tone::Bad,
                headline: "This run has no result.".to_owned(),
                text: html! { p { "What follows is what its folder has." } },
                reasons: vec![why.clone()],
            };
        }
    };
    let text = analysis
        .agreement
        .as_ref()
        .map_or_else(|| no_agreement(analysis), agreement_text);
    let mut reasons = reasons(run, analysis);
    let (tone, headline) = match bad_headline(run, analysis) {
        Some(headline) => (Tone::Bad, headline),
        None => verdict(analysis),
    };
    // What the headline says need not be said again.
    reasons.retain(|reason| !headline.contains(reason.as_str()));
    Judgement {
        tone,
        headline,
        text,
        reasons,
    }
}

/// Everything that speaks against the result, once each.
fn reasons(run: &Run, analysis: &Analysis) -> Vec<String> {
    let withheld = match &analysis.agreement {
        Some(agreement) => agreement.withheld.clone(),
        // Nobody looked at these where there was nothing to agree.
        None => own_reasons(run, analysis),
    };
    let mut reasons = analysis.not_usable.clone();
    reasons.extend(withheld);
    reasons.extend(analysis.warnings.iter().cloned());
    let mut once = Vec::new();
    for reason in reasons {
        if !once.contains(&reason) {
            once.push(reason);
        }
    }
    once
}

fn own_reasons(run: &Run, analysis: &Analysis) -> Vec<String> {
    let a_a = a_a_failed(analysis).map(|a_a| {
        let print = Print::estimate(a_a);
        let [low, high] = a_a.ci95.map(|end| print.text(end));
        format!(
            "A/A fails: two equal servers differ by {} [{low}, {high}]",
            print.text(a_a.estimate)
        )
    });
    let throttled = throttled(run).map(|periods| {
        format!(
            "servers were throttled by their CPU limit in {} periods",
            count(periods)
        )
    });
    throttled.into_iter().chain(a_a).collect()
}

/// The A/A difference, if two equal servers are told apart.
pub fn a_a_failed(analysis: &Analysis) -> Option<&Estimate> {
    let a_a = analysis.macro_.a_a_difference.as_ref()?;
    let [low, high] = a_a.ci95;
    (low > 0.0 || high < 0.0).then_some(a_a)
}

fn throttled(run: &Run) -> Option<u64> {
    let periods = run.manifest.resources.as_ref()?.throttled_periods?;
    (periods > 0).then_some(periods)
}

/// What has to be said before anything else.
fn bad_headline(run: &Run, analysis: &Analysis) -> Option<String> {
    if analysis
        .ledger
        .as_ref()
        .is_some_and(|ledger| !ledger.balanced)
    {
        return Some("Do not use this result: the ledger does not balance.".to_owned());
    }
    if !analysis.not_usable.is_empty() {
        return Some("Do not use this result.".to_owned());
    }
    // Before A/A: where servers are kept from running, equal ones differ.
    if throttled(run).is_some() {
        return Some("No verdict: the servers' CPU was throttled during this run.".to_owned());
    }
    if a_a_failed(analysis).is_some() {
        return Some("No verdict: A/A fails. Two equal servers differ in this run.".to_owned());
    }
    None
}

fn verdict(analysis: &Analysis) -> (Tone, String) {
    let Some(agreement) = &analysis.agreement else {
        return (
            Tone::Plain,
            "The layers cannot be compared in this run.".to_owned(),
        );
    };
    let resolution = Print::ns(agreement.resolution_ns).text(agreement.resolution_ns);
    match agreement.verdict {
        Verdict::Agree => (
            Tone::Good,
            format!("The layers agree to within {resolution}."),
        ),
        Verdict::Unresolved => (
            Tone::Open,
            "The hook costs less than this run can see end to end.".to_owned(),
        ),
        Verdict::Differ if agreement.unexplained.estimate > 0.0 => (
            Tone::Plain,
            "The layers differ: end to end the hook costs more than its calls.".to_owned(),
        ),
        Verdict::Differ => (
            Tone::Plain,
            "The layers differ: end to end the hook costs less than its calls.".to_owned(),
        ),
        Verdict::Withheld => (
            Tone::Open,
            "No verdict on whether the layers agree.".to_owned(),
        ),
    }
}

fn no_agreement(analysis: &Analysis) -> Markup {
    let layers = [
        ("micro", &analysis.micro.missing),
        ("in-situ", &analysis.in_situ.missing),
        ("macro", &analysis.macro_.missing),
    ];
    html! {
        @for (layer, missing) in layers {
            @if let Some(why) = missing { p { "There is no " (layer) " layer: " (why) "." } }
        }
    }
}

const AT: &str = "analysis.json#/agreement";

fn agreement_text(agreement: &Agreement) -> Markup {
    let per_request = format!("{AT}/in_situ_per_request");
    let unexplained = format!("{AT}/unexplained");
    let resolution_text = Print::ns(agreement.resolution_ns).text(agreement.resolution_ns);
    let resolution = figure(
        &format!("{AT}/resolution_ns"),
        agreement.resolution_ns,
        &resolution_text,
    );
    html! {
        p {
            "Inside the server the hook takes "
            strong { (value(&per_request, &agreement.in_situ_per_request)) }
            " of a request " (interval(&per_request, &agreement.in_situ_per_request)) ". "
            "Of the end-to-end difference, "
            (value_and_interval(&unexplained, &agreement.unexplained)) " is left unexplained"
            @match agreement.verdict {
                Verdict::Agree => { ", which is not told from 0. Differences below " (resolution) " cannot be seen." },
                Verdict::Unresolved => {
                    "; below " (resolution) " this run cannot tell layers apart."
                    @if let Some(more) = agreement.blocks_more {
                        " About " (figure(&format!("{AT}/blocks_more"), more as f64, &count(more as u64)))
                        " blocks more would do."
                    }
                },
                Verdict::Differ => {
                    @if agreement.unexplained.estimate > 0.0 {
                        ": part of the cost lies outside of the calls, as in caches and branch predictors."
                    } @else {
                        ": a call costs more while it is watched, or part of it is hidden elsewhere in the request."
                    }
                    " Differences below " (resolution) " cannot be seen."
                },
                Verdict::Withheld => { "; below " (resolution) " this run cannot tell layers apart." },
            }
        }
        @if let Some(share) = &agreement.explained_share {
            p {
                "The calls explain " (value_and_interval(&format!("{AT}/explained_share"), share))
                " of the end-to-end difference (1 is all of it)."
            }
        }
        @if agreement.verdict == Verdict::Differ && let Some(reads) = agreement.lines.get("read_syscall") {
            p {
                "Of the parts of a request that both arms show, read(2) differs by "
                (value_and_interval(&format!("{AT}/lines/read_syscall"), reads)) " a call."
            }
        }
    }
}

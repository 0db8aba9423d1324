//! What the page says first: whether the result may be used, and what it is.

use maud::{Markup, html};
use runlog::analysis::Analysis;
use verdict::judgement::Part;
pub use verdict::judgement::Tone;

use crate::format::{count, count_figure, figure, ns, value_and_interval};
use crate::run::Run;

fn class(tone: Tone) -> &'static str {
    match tone {
        Tone::Good => "good",
        Tone::Plain => "plain",
        Tone::Open => "open",
        Tone::Bad => "bad",
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
        Some(analysis) if analysis.is_usable() => {
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
        div class=(format!("judgement {}", class(judgement.tone))) {
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
    let verdict::judgement::Judgement {
        tone,
        headline,
        reasons,
        text,
    } = verdict::judgement::judge(analysis, run.manifest.resources.as_ref());
    Judgement {
        tone,
        headline,
        text: html! { @for sentences in &text { p { @for part in sentences { (markup(part)) } } } },
        reasons,
    }
}

fn markup(part: &Part<'_>) -> Markup {
    let place = |at: &str| format!("analysis.json#{at}");
    match part {
        Part::Text(text) => html! { (text) },
        Part::Estimate(at, estimate) => value_and_interval(&place(at), estimate),
        Part::Ns(at, time_ns) => figure(&place(at), *time_ns, &ns(*time_ns)),
        Part::Count(at, number) => count_figure(&place(at), *number as u64),
    }
}

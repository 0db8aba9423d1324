//! The ten recommendations of the paper, and what the doctor found right before and after the run.

use maud::{Markup, html};
use runlog::doctor::{Finding, State};

use super::{missing, table};
use crate::run::Run;

/// How the run keeps the recommendations, and what spoke against measuring.
pub fn body(run: &Run) -> Markup {
    let recommendations = run
        .analysed()
        .map(|analysis| analysis.recommendations.as_slice())
        .unwrap_or_default();
    html! {
        @if recommendations.is_empty() {
            (missing("No recommendations:", "they were not looked at when this run was analysed"))
        } @else {
            (findings(recommendations.iter()))
        }
        @if let Some(doctor) = &run.manifest.doctor {
            h3 { "The machine, right before and right after" }
            @for (when, found) in [("before", &doctor.before), ("after", &doctor.after)] {
                @let trouble = found.iter().filter(|finding| finding.state != State::Pass);
                @match trouble.clone().count() {
                    0 if found.is_empty() => { p { "Not looked at " (when) " it." } },
                    0 => { p { "All " (found.len()) " findings " (when) " it passed." } },
                    not_passed => {
                        p { (not_passed) " of " (found.len()) " findings " (when) " it did not pass:" }
                        (findings(trouble))
                    },
                }
            }
        }
    }
}

fn findings<'f>(findings: impl Iterator<Item = &'f Finding>) -> Markup {
    table(
        &["", "State", "What was found, and what to do"],
        &html! {
            @for Finding { name, state, found, advice } in findings {
                tr {
                    th scope="row" { (name) }
                    td class="text" { @if *state == State::Pass { "pass" } @else { strong { (state.name()) } } }
                    td class="text" { (found) @if let Some(advice) = advice { br; "→ " (advice) } }
                }
            }
        },
    )
}

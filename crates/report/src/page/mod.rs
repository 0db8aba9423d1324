//! The pages: of a bench, of a load, of a run that an agent took part in. Each is one file, without scripts, that asks
//! for nothing beyond itself.

mod agent_run;
mod load;
mod run;
#[cfg(test)]
mod tests;

use maud::{DOCTYPE, Markup, PreEscaped, html};

use crate::chart;

pub use agent_run::agent_run;
pub use load::load;
pub use run::{one, several};

/// Colours and letters as variables of CSS, for pages that are made elsewhere too.
pub const TOKENS: &str = include_str!("tokens.css");

const STYLE: &str = include_str!("page.css");

/// Nothing may be loaded, and nothing may run.
const POLICY: &str =
    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'";

/// The same in the header of an answer: a page that is served is no part of the service, and has none of its rights.
pub const SERVED_POLICY: &str =
    "sandbox; default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'";

/// What a page says.
struct Page {
    /// What the browser's tab says.
    title: String,
    /// The first line.
    heading: String,
    /// Which run it is of, and what became of it.
    about: Markup,
    /// The sections.
    main: Markup,
}

/// The frame of every page: head, style, header, foot.
fn frame(page: &Page) -> String {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(POLICY);
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (page.title) " – hookprobe" }
                style { (PreEscaped(TOKENS)) (PreEscaped(STYLE)) (PreEscaped(chart::STYLE)) }
            }
            body {
                header {
                    p class="kicker" { "hookprobe" }
                    h1 { (page.heading) }
                    p class="about" { (page.about) }
                }
                main { (page.main) }
                footer { "Made by hookprobe " (env!("CARGO_PKG_VERSION")) ". Figures are of the files in the run's folder." }
            }
        }
    }
    .into_string()
}

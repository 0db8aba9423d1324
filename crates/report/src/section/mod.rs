//! The sections of the page, and what they are built of.

pub mod blocks;
pub mod budget;
pub mod calibration;
pub mod distribution;
pub mod environment;
pub mod judgement;
pub mod ladder;
pub mod layers;
pub mod ledger;
pub mod methods;
pub mod recommendations;
pub mod response_times;
pub mod settings;
pub mod shifts;
pub mod slices;
pub mod trial;

use maud::{Markup, Render, html};
use runlog::estimate::Estimate;

use crate::chart::{self, Chart};
use crate::format::{interval, value};

/// A section with its heading.
pub fn section(id: &str, title: &str, body: &Markup) -> Markup {
    html! {
        section id=(id) {
            h2 { (title) }
            (body)
        }
    }
}

/// Says what is not there, and why.
pub fn missing(what: &str, why: &str) -> Markup {
    html! { p class="missing" { strong { (what) } " " (why) "." } }
}

/// A plot.
pub fn drawing(chart: &dyn Chart) -> Markup {
    html! { figure id=(format!("plot-{}", chart.id())) { (chart::inline(chart)) } }
}

/// A plot with its table below.
pub fn figure(chart: &dyn Chart, table: &Markup) -> Markup {
    html! {
        figure id=(format!("plot-{}", chart.id())) {
            (chart::inline(chart))
            details { summary { "Figures" } (table) }
        }
    }
}

/// A list of names with what each is.
pub fn definitions(entries: impl IntoIterator<Item = (impl Render, Markup)>) -> Markup {
    html! { dl { @for (name, value) in entries { dt { (name) } dd { (value) } } } }
}

/// A table that scrolls within itself where it is wider than the page. Its head is aligned as the columns are.
pub fn table(head: &[&str], body: &Markup) -> Markup {
    html! {
        div class="scroll" tabindex="0" {
            table {
                thead { tr { @for title in head { th scope="col" { (title) } } } }
                tbody { (body) }
            }
        }
    }
}

/// A line of a table of estimates.
#[derive(Clone, Debug)]
pub struct Line<'a> {
    /// What it is.
    pub name: String,
    /// `file#/json/pointer`.
    pub at: String,
    /// The estimate.
    pub estimate: &'a Estimate,
}

impl<'a> Line<'a> {
    /// A line, if there is an estimate.
    pub fn of(name: &str, at: &str, estimate: Option<&'a Estimate>) -> Option<Self> {
        Some(Self {
            name: name.to_owned(),
            at: at.to_owned(),
            estimate: estimate?,
        })
    }
}

/// A table of estimates.
pub fn estimates(lines: &[Line<'_>]) -> Markup {
    table(
        &[
            "",
            "Estimate",
            "95 % interval",
            "Blocks",
            "Of what, and how",
        ],
        &html! {
            @for Line { name, at, estimate } in lines {
                tr {
                    th scope="row" { (name) }
                    td { (value(at, estimate)) }
                    td { (interval(at, estimate)) }
                    td { (crate::format::count_figure(&format!("{at}/blocks"), estimate.blocks as u64)) }
                    td class="text" { (estimate.estimand) "; " (estimate.method) }
                }
            }
        },
    )
}

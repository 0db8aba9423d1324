//! Plots as SVG. Colours are classes of `chart.css`, so that one drawing does for light, dark and print.

pub mod blocks;
pub mod boxes;
pub mod budget;
pub mod difference;
pub mod forest;
mod frame;
pub mod lag;
pub mod percentiles;
pub mod quantiles;
pub mod response;

use std::fmt::Write as _;

use maud::{Markup, PreEscaped, html};

/// The looks of plots, in a page and alone.
pub const STYLE: &str = include_str!("chart.css");

/// What a drawing is for. Text is of one size in both, so a phone gets a drawing of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Size {
    /// The width of a page.
    Wide,
    /// A phone, held upright.
    Narrow,
}

impl Size {
    /// Width of the drawing.
    pub fn width(self) -> f64 {
        match self {
            Self::Wide => 880.0,
            Self::Narrow => 360.0,
        }
    }

    /// One of two values.
    pub fn pick<T>(self, wide: T, narrow: T) -> T {
        match self {
            Self::Wide => wide,
            Self::Narrow => narrow,
        }
    }
}

/// A drawing of a given size.
#[derive(Debug)]
pub struct Drawing {
    /// Its width.
    pub width: f64,
    /// Its height.
    pub height: f64,
    /// What is in it.
    pub body: Markup,
}

/// A plot.
pub trait Chart {
    /// Its name in file names and links.
    fn id(&self) -> &'static str;

    /// What it shows, for those who do not see it.
    fn label(&self) -> String;

    /// What its colours stand for: a class of the style each.
    fn legend(&self) -> Vec<(String, String)> {
        Vec::new()
    }

    /// Draws it.
    fn draw(&self, size: Size) -> Drawing;
}

/// The plot as part of a page, drawn for both sizes.
pub fn inline(chart: &dyn Chart) -> Markup {
    html! {
        @for (size, class) in [(Size::Wide, "wide"), (Size::Narrow, "narrow")] {
            (svg(&chart.draw(size), &format!("chart {class}"), &chart.label()))
        }
        (legend(chart))
    }
}

fn legend(chart: &dyn Chart) -> Markup {
    let entries = chart.legend();
    html! {
        @if !entries.is_empty() {
            p class="legend" {
                @for (class, name) in &entries { span { span class=(format!("swatch {class}")) {} (name) } }
            }
        }
    }
}

fn svg(drawing: &Drawing, class: &str, label: &str) -> Markup {
    let Drawing {
        width,
        height,
        body,
    } = drawing;
    html! {
        svg class=(class) viewBox=(format!("0 0 {width} {height}")) role="img" aria-label=(label) { (body) }
    }
}

/// Around a plot that stands alone.
const MARGIN: f64 = 12.0;

/// The plot as a file of its own.
pub fn standalone(chart: &dyn Chart) -> String {
    let Drawing {
        width,
        height,
        body,
    } = chart.draw(Size::Wide);
    let legend = chart.legend();
    let across = width + 2.0 * MARGIN;
    let whole = height + if legend.is_empty() { 48.0 } else { 76.0 };
    let mut left = MARGIN;
    let entries: Vec<(f64, &(String, String))> = legend
        .iter()
        .map(|entry| {
            let at = left;
            left += 34.0 + 6.6 * entry.1.chars().count() as f64;
            (at, entry)
        })
        .collect();
    let image = html! {
        svg xmlns="http://www.w3.org/2000/svg" class="chart alone" width=(across) height=(whole)
            viewBox=(format!("0 0 {across} {whole}")) role="img" {
            title { (chart.label()) }
            style { (PreEscaped(STYLE)) }
            rect class="paper" width=(across) height=(whole) {}
            text class="heading" x=(MARGIN) y="24" { (chart.label()) }
            g transform=(format!("translate({MARGIN} 38)")) { (body) }
            @for (x, (class, name)) in entries {
                rect class=(format!("{class} fill")) x=(px(x)) y=(px(whole - 22.0)) width="11" height="11" rx="2" {}
                text x=(px(x + 17.0)) y=(px(whole - 12.0)) { (name) }
            }
        }
    };
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n{}\n",
        image.into_string()
    )
}

/// A length, to a tenth.
pub(crate) fn px(value: f64) -> String {
    let text = format!("{value:.1}");
    text.strip_suffix(".0")
        .map_or_else(|| text.clone(), str::to_owned)
}

/// A line through points.
pub(crate) fn path(points: impl IntoIterator<Item = (f64, f64)>) -> String {
    let mut text = String::new();
    for (index, (x, y)) in points.into_iter().enumerate() {
        let pen = if index == 0 { 'M' } else { 'L' };
        let _ = write!(text, "{pen}{} {}", px(x), px(y));
    }
    text
}

/// Points, each a line of no length: with round ends it is a dot, in far fewer bytes than a circle.
pub(crate) fn dots(points: impl IntoIterator<Item = (f64, f64)>) -> String {
    let mut text = String::new();
    for (x, y) in points {
        let _ = write!(text, "M{} {}h0", px(x), px(y));
    }
    text
}

/// The class of an arm's colour.
pub(crate) fn arm_class(arm: usize) -> String {
    format!("arm-{}", arm % 6)
}

#[cfg(test)]
mod tests;

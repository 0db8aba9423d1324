//! Plots as SVG. Colours are classes of `chart.css`, so that one drawing does for light, dark and print.

pub mod blocks;
pub mod boxes;
pub mod budget;
pub mod forest;
mod frame;
pub mod lag;
pub mod percentiles;

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
mod tests {
    use runlog::estimate::{Estimate, Unit};

    use super::blocks::Blocks;
    use super::forest::{Forest, Row};
    use super::*;
    use crate::run::tests::half_a_run;
    use crate::section::distribution::{box_chart, lag_chart};

    fn forest(values: &[[f64; 3]], logarithmic: bool) -> Forest {
        let row = |[low, estimate, high]: &[f64; 3]| Row {
            group: None,
            label: "row".to_owned(),
            class: "layer-micro".to_owned(),
            at: "analysis.json#/micro".to_owned(),
            estimate: Estimate {
                estimate: *estimate,
                ci95: [*low, *high],
                unit: Unit::Ns,
                estimand: String::new(),
                method: String::new(),
                blocks: 2,
            },
        };
        Forest {
            id: "test",
            label: "test".to_owned(),
            axis: "axis".to_owned(),
            logarithmic,
            legend: Vec::new(),
            rows: values.iter().map(row).collect(),
        }
    }

    /// The numbers of an attribute, in the order of the drawing.
    fn attribute(svg: &str, element: &str, name: &str) -> Vec<f64> {
        let elements = svg.split(element).skip(1);
        let value = |text: &str| {
            text.split(&format!(" {name}=\""))
                .nth(1)?
                .split('"')
                .next()?
                .parse()
                .ok()
        };
        elements.filter_map(value).collect()
    }

    #[test]
    fn marks_lie_where_their_values_are() {
        for logarithmic in [false, true] {
            let svg = forest(&[[-100.0, 0.0, 100.0], [50.0, 100.0, 400.0]], logarithmic)
                .draw(Size::Wide)
                .body
                .into_string();
            let marks = attribute(&svg, "<circle", "cx");
            let whiskers = attribute(&svg, "<line class=\"whisker\"", "x1");
            let zero = attribute(&svg, "<line class=\"zero\"", "x1");
            assert_eq!(
                marks[0].to_bits(),
                zero[0].to_bits(),
                "an estimate of 0 is on the line of 0"
            );
            // The upper end of the first is the estimate of the second. Each row has the line and its two ends.
            assert!(
                (whiskers[2] - marks[1]).abs() < 0.11,
                "{whiskers:?} {marks:?}"
            );
            assert!(whiskers[1] < marks[0] && marks[0] < whiskers[2]);
        }
    }

    #[test]
    fn every_drawing_is_finite_and_within_its_width() {
        let (_folder, run) = half_a_run(9);
        let requests = run.requests.as_ref().unwrap();
        let extreme = forest(&[[-1e12, -1.0, 0.0], [0.0, 0.0, 0.0]], true);
        let (boxes, lags) = (box_chart(requests), lag_chart(requests));
        let charts: [&dyn Chart; 4] = [&extreme, &boxes, &lags, &Blocks(requests)];
        for chart in charts {
            for size in [Size::Wide, Size::Narrow] {
                let Drawing {
                    width,
                    height,
                    body,
                } = chart.draw(size);
                let svg = body.into_string();
                assert!(
                    height > 0.0 && !svg.contains("NaN") && !svg.contains("inf"),
                    "{svg}"
                );
                for name in ["x", "x1", "x2", "cx"] {
                    let within = attribute(&svg, "<", name)
                        .into_iter()
                        .all(|x| (0.0..=width).contains(&x));
                    assert!(within, "{} {name}", chart.id());
                }
            }
        }
    }

    #[test]
    fn a_plot_alone_has_its_looks_and_its_title() {
        let svg = standalone(&forest(&[[1.0, 2.0, 3.0]], false));
        assert!(svg.starts_with("<?xml") && svg.contains("xmlns=\"http://www.w3.org/2000/svg\""));
        assert!(svg.contains("<title>test</title>") && svg.contains("prefers-color-scheme: dark"));
    }

    #[test]
    fn paths_are_short() {
        assert_eq!(path([(0.0, 1.0), (2.25, 3.04)]), "M0 1L2.2 3");
        assert_eq!(dots([(1.0, 2.0)]), "M1 2h0");
    }
}

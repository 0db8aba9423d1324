//! Estimates with their intervals, one below the other on a common axis.

use maud::{Markup, html};
use runlog::estimate::Estimate;
use runlog::quantity::Print;

use super::frame::{Frame, labels, unit_of};
use super::{Chart, Drawing, Size, px};
use crate::format::typeset;
use crate::scale::Scale;

/// One estimate.
#[derive(Clone, Debug)]
pub struct Row {
    /// A heading above it, where a new group begins.
    pub group: Option<String>,
    /// What it is.
    pub label: String,
    /// Class of its colour.
    pub class: String,
    /// Where it stands: `file#/json/pointer`.
    pub at: String,
    /// The estimate, in nanoseconds.
    pub estimate: Estimate,
}

/// The plot.
#[derive(Clone, Debug)]
pub struct Forest {
    /// Its name.
    pub id: &'static str,
    /// What it shows.
    pub label: String,
    /// What the axis shows, without the unit.
    pub axis: String,
    /// Whether large values are drawn together, so that small ones can be told from 0 too.
    pub logarithmic: bool,
    /// What colours stand for.
    pub legend: Vec<(String, String)>,
    /// The estimates.
    pub rows: Vec<Row>,
}

const GROUP_HEIGHT: f64 = 26.0;

/// Where texts and marks of a size go.
struct Layout {
    frame: Frame,
    row_height: f64,
    /// From the top of a row to its mark.
    mark: f64,
    /// From the top of a row to the base of its text.
    text: f64,
}

impl Forest {
    fn layout(&self, size: Size) -> Layout {
        let width = size.width();
        let (row_height, mark, text) = size.pick((30.0, 15.0, 19.0), (46.0, 32.0, 16.0));
        let groups = self.rows.iter().filter(|row| row.group.is_some()).count();
        let height = row_height * self.rows.len() as f64 + GROUP_HEIGHT * groups as f64;
        let frame = Frame {
            left: size.pick(270.0, 10.0),
            right: size.pick(width - 230.0, width - 14.0),
            top: 4.0,
            bottom: 8.0 + height,
        };
        Layout {
            frame,
            row_height,
            mark,
            text,
        }
    }

    /// The axis, with its unit and title.
    fn scale(&self, frame: &Frame) -> (Scale, &'static str, f64) {
        let ends = self
            .rows
            .iter()
            .flat_map(|row| row.estimate.ci95.into_iter().chain([row.estimate.estimate]));
        let [low, high] = ends
            .filter(|end| end.is_finite())
            .fold([0.0_f64, 0.0_f64], |[low, high], end| {
                [low.min(end), high.max(end)]
            });
        let (unit, divisor) = unit_of(high.max(-low));
        if !self.logarithmic {
            return (Scale::linear([low, high], frame.x()), unit, divisor);
        }
        // As far as the shortest row reaches, which can then be told from 0.
        let reach = self
            .rows
            .iter()
            .map(|row| row.estimate.ci95[0].abs().max(row.estimate.ci95[1].abs()));
        let least = reach
            .filter(|reach| *reach > 0.0)
            .fold(high.max(-low), f64::min);
        // A power of ten, which is then labelled.
        let linear = 10_f64.powf(least.max(1.0).log10().floor());
        (
            Scale::symmetric(linear, [1.1 * low, 1.1 * high], frame.x()),
            unit,
            divisor,
        )
    }
}

impl Chart for Forest {
    fn id(&self) -> &'static str {
        self.id
    }

    fn label(&self) -> String {
        self.label.clone()
    }

    fn legend(&self) -> Vec<(String, String)> {
        self.legend.clone()
    }

    fn draw(&self, size: Size) -> Drawing {
        let layout = self.layout(size);
        let frame = &layout.frame;
        let (scale, unit, divisor) = self.scale(frame);
        let spacing = if self.logarithmic {
            ", logarithmic away from 0"
        } else {
            ""
        };
        let title = format!("{} in {unit}{spacing}", self.axis);
        let zero = px(scale.place(0.0));
        let body = html! {
            (frame.x_axis(&scale, &labels(&scale.ticks(size.pick(8, 5)), divisor), &title))
            line class="zero" x1=(zero) x2=(zero) y1=(px(frame.top)) y2=(px(frame.bottom)) {}
            @for (top, row) in placed(&self.rows, layout.row_height, frame.top) {
                @if let Some(group) = &row.group {
                    text class="strong" x="0" y=(px(top - GROUP_HEIGHT + 18.0)) { (group) }
                }
                text class="name" x=(if row.group.is_some() || self.has_groups() { "10" } else { "0" })
                    y=(px(top + layout.text)) { (row.label) }
                (mark(row, &scale, top + layout.mark))
                text class="figure" x=(px(size.width())) y=(px(top + layout.text)) text-anchor="end" { (texts(row)) }
            }
        };
        Drawing {
            width: size.width(),
            height: frame.bottom + 42.0,
            body,
        }
    }
}

impl Forest {
    fn has_groups(&self) -> bool {
        self.rows.iter().any(|row| row.group.is_some())
    }
}

/// Each row with its top, behind the heading of its group.
fn placed(rows: &[Row], height: f64, mut top: f64) -> Vec<(f64, &Row)> {
    let mut placed = Vec::new();
    for row in rows {
        if row.group.is_some() {
            top += GROUP_HEIGHT;
        }
        placed.push((top, row));
        top += height;
    }
    placed
}

/// Estimate and interval as a line with a dot.
fn mark(row: &Row, scale: &Scale, y: f64) -> Markup {
    let [low, high] = row.estimate.ci95.map(|end| scale.place(end));
    html! {
        g class=(row.class) {
            line class="whisker" x1=(px(low)) x2=(px(high)) y1=(px(y)) y2=(px(y)) {}
            @for end in [low, high] {
                line class="whisker" x1=(px(end)) x2=(px(end)) y1=(px(y - 4.0)) y2=(px(y + 4.0)) {}
            }
            circle class="mark" cx=(px(scale.place(row.estimate.estimate))) cy=(px(y)) r="4.5" {}
        }
    }
}

/// Estimate and interval as text.
fn texts(row: &Row) -> Markup {
    let Row { at, estimate, .. } = row;
    let print = Print::estimate(estimate);
    let part = |pointer: &str, value: f64, text: String| {
        html! { tspan data-figure=(format!("{at}/{pointer}")) data-value=(value) { (typeset(&text)) } }
    };
    let [low, high] = estimate.ci95;
    html! {
        (part("estimate", estimate.estimate, print.text(estimate.estimate)))
        tspan class="soft" dx="6" { "[" }
        tspan class="soft" {
            (part("ci95/0", low, print.number(low))) ", " (part("ci95/1", high, print.text(high))) "]"
        }
    }
}

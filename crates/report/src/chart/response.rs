//! Dose and response: what a delay in the hook does to each of several figures of requests.

use maud::{Markup, html};
use runlog::quantity::Print;
use runlog::trial::{Dose, Doses};

use super::frame::{Frame, labels, unit_of};
use super::{Chart, Drawing, Size, path, px};
use crate::format::typeset;
use crate::scale::Scale;

/// A figure of requests, and what delays do to it.
#[derive(Debug)]
pub struct Response<'a> {
    /// What it is a figure of.
    pub name: &'static str,
    /// Where it stands: `file#/json/pointer`.
    pub at: String,
    /// The delays, with their effects.
    pub doses: &'a Doses,
}

/// The plot: a panel for each response, all of the same delays.
#[derive(Debug)]
pub struct ResponseChart<'a>(pub Vec<Response<'a>>);

const PANEL_HEIGHT: f64 = 290.0;
/// Between panels side by side.
const GAP: f64 = 32.0;

impl Chart for ResponseChart<'_> {
    fn id(&self) -> &'static str {
        "responses"
    }

    fn label(&self) -> String {
        "Dose and response: what a delay in the hook does under this load, with 95 % intervals"
            .to_owned()
    }

    fn legend(&self) -> Vec<(String, String)> {
        [
            ("layer-macro", "fitted slope with its 95 % interval"),
            ("layer-a-a", "dashed: 1 ns for 1 ns"),
        ]
        .map(|(class, name)| (class.to_owned(), name.to_owned()))
        .to_vec()
    }

    fn draw(&self, size: Size) -> Drawing {
        let columns = size.pick(2, 1);
        let width = (size.width() - GAP * (columns - 1) as f64) / columns as f64;
        let rows = self.0.len().div_ceil(columns);
        let body = html! {
            @for (place, response) in self.0.iter().enumerate() {
                @let left = (place % columns) as f64 * (width + GAP);
                @let top = (place / columns) as f64 * PANEL_HEIGHT;
                g transform=(format!("translate({} {})", px(left), px(top))) { (panel(response, width)) }
            }
        };
        Drawing {
            width: size.width(),
            height: PANEL_HEIGHT * rows as f64,
            body,
        }
    }
}

/// One response. Its axis of effects is its own, as a 99th percentile spreads far more than a pace; 0 and the line of 1 ns for
/// 1 ns are in each, so steepness is seen against that.
fn panel(response: &Response<'_>, width: f64) -> Markup {
    let Response { name, at, doses } = response;
    let frame = Frame {
        left: 50.0,
        right: width - 14.0,
        top: 48.0,
        bottom: PANEL_HEIGHT - 60.0,
    };
    let delays = doses.arms.iter().map(|dose| dose.delay_ns);
    let longest = delays.fold(0.0_f64, f64::max);
    let slope = doses.slope.as_ref();
    let slopes = slope.map(|slope| [slope.ci95[0], slope.estimate, slope.ci95[1]]);
    let of_slopes = slopes.into_iter().flatten().map(|slope| slope * longest);
    let ends = doses.arms.iter().flat_map(|dose| dose.effect.ci95);
    let [low, high] = ends
        .chain(of_slopes)
        .filter(|end| end.is_finite())
        .fold([0.0, longest], |[low, high], end| {
            [low.min(end), high.max(end)]
        });
    let x = Scale::linear([0.0, longest], frame.x());
    let y = Scale::linear([low, high], frame.y());
    let [x_unit, y_unit] = [longest, high.max(-low)].map(unit_of);
    let from_origin = |slope: f64| {
        let end = (x.place(longest), y.place(slope * longest));
        [(x.place(0.0), y.place(0.0)), end]
    };
    let is_measured = doses.arms.iter().all(|dose| dose.is_measured);
    let delay = if is_measured {
        "measured delay"
    } else {
        "delay asked for"
    };
    let zero = px(y.place(0.0));
    html! {
        text class="strong" x="0" y="14" { (name) }
        (frame.y_axis(&y, &labels(&y.ticks(6), y_unit.1), &format!("longer than on, in {}", y_unit.0)))
        (frame.x_axis(&x, &labels(&x.ticks(6), x_unit.1), &format!("{delay} in {}", x_unit.0)))
        line class="zero" x1=(px(frame.left)) x2=(px(frame.right)) y1=(zero) y2=(zero) {}
        g class="layer-a-a" { path class="line one-for-one" d=(path(from_origin(1.0))) {} }
        g class="layer-macro" {
            @if let Some([low, middle, high]) = slopes.filter(|slopes| slopes.iter().all(|slope| slope.is_finite())) {
                path class="band" d=(format!("{}Z", path(from_origin(low).into_iter().chain([from_origin(high)[1]])))) {}
                path class="line" d=(path(from_origin(middle))) {}
            }
            @for dose in &doses.arms { (mark(dose, &x, &y)) }
        }
        @if let Some(slope) = slope {
            @let print = Print::estimate(slope);
            @let part = |pointer: &str, value: f64| html! {
                tspan data-figure=(format!("{at}/slope/{pointer}")) data-value=(value) { (typeset(&print.text(value))) }
            };
            text class="figure" x=(px(frame.right)) y=(px(frame.top - 10.0)) text-anchor="end" {
                "slope " (part("estimate", slope.estimate))
                tspan class="soft" { " [" (part("ci95/0", slope.ci95[0])) ", " (part("ci95/1", slope.ci95[1])) "]" }
            }
        }
    }
}

/// An effect with its interval, above its delay.
fn mark(dose: &Dose, x: &Scale, y: &Scale) -> Markup {
    let at = x.place(dose.delay_ns);
    let [low, high] = dose.effect.ci95.map(|end| y.place(end));
    html! {
        line class="whisker" x1=(px(at)) x2=(px(at)) y1=(px(low)) y2=(px(high)) {}
        @for end in [low, high] {
            line class="whisker" x1=(px(at - 4.0)) x2=(px(at + 4.0)) y1=(px(end)) y2=(px(end)) {}
        }
        circle class="mark" cx=(px(at)) cy=(px(y.place(dose.effect.estimate))) r="4" {
            title { (dose.arm) ": " (typeset(&Print::estimate(&dose.effect).text(dose.effect.estimate))) }
        }
    }
}

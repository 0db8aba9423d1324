//! Box plots of response times, as in the paper.

use maud::{Markup, html};

use super::frame::{Frame, labels, unit_of};
use super::{Chart, Drawing, Size, arm_class, px};
use crate::data::requests::BoxFigures;
use crate::scale::Scale;

/// One box.
#[derive(Clone, Debug)]
pub struct Named {
    /// A heading above it, where a new group begins.
    pub group: Option<String>,
    /// Its name.
    pub name: String,
    /// Index of its arm, for the colour.
    pub arm: usize,
    /// Where it is drawn.
    pub figures: BoxFigures,
}

/// The plot.
#[derive(Clone, Debug)]
pub struct Boxes {
    /// The boxes, from the top.
    pub boxes: Vec<Named>,
}

const GROUP_HEIGHT: f64 = 26.0;

impl Chart for Boxes {
    fn id(&self) -> &'static str {
        "boxes"
    }

    fn label(&self) -> String {
        "Response times: quartiles, whiskers and means".to_owned()
    }

    fn draw(&self, size: Size) -> Drawing {
        let row = size.pick(44.0, 58.0);
        let groups = self
            .boxes
            .iter()
            .filter(|named| named.group.is_some())
            .count();
        let frame = Frame {
            left: size.pick(130.0, 8.0),
            right: size.width() - 14.0,
            top: 4.0,
            bottom: 6.0 + row * self.boxes.len() as f64 + GROUP_HEIGHT * groups as f64,
        };
        let ends = self.boxes.iter().flat_map(|named| {
            named
                .figures
                .whiskers
                .into_iter()
                .chain([named.figures.mean])
        });
        let [low, high] = ends.fold([f64::INFINITY, 0.0], |[low, high], end| {
            [low.min(end), high.max(end)]
        });
        let (unit, divisor) = unit_of(high);
        // Far apart, as settings are, they share no linear axis.
        let x = if high > 12.0 * low {
            Scale::logarithmic([0.9 * low, 1.1 * high], frame.x())
        } else {
            Scale::linear([low, high], frame.x())
        };
        let mut next = frame.top;
        let mut placed = Vec::new();
        for named in &self.boxes {
            if named.group.is_some() {
                next += GROUP_HEIGHT;
            }
            placed.push((next, named));
            next += row;
        }
        let body = html! {
            (frame.x_axis(&x, &labels(&x.ticks(size.pick(9, 5)), divisor), &format!("response time in {unit}")))
            @for (top, named) in placed {
                @if let Some(group) = &named.group {
                    text class="strong" x="0" y=(px(top - GROUP_HEIGHT + 18.0)) { (group) }
                }
                @let y = top + size.pick(row / 2.0, 38.0);
                text class="name" x=(px(size.pick(frame.left - 12.0, 0.0))) y=(px(size.pick(y + 4.0, top + 18.0)))
                    text-anchor=(size.pick("end", "start")) { (named.name) }
                (one(named, &x, y))
            }
        };
        Drawing {
            width: size.width(),
            height: frame.bottom + 42.0,
            body,
        }
    }
}

fn one(named: &Named, x: &Scale, y: f64) -> Markup {
    let BoxFigures {
        quartiles,
        whiskers,
        mean,
        ..
    } = named.figures;
    let [first, median, third] = quartiles.map(|value| x.place(value));
    let [low, high] = whiskers.map(|value| x.place(value));
    let mean = x.place(mean);
    html! {
        g class=(arm_class(named.arm)) {
            line class="whisker" x1=(px(low)) x2=(px(first)) y1=(px(y)) y2=(px(y)) {}
            line class="whisker" x1=(px(third)) x2=(px(high)) y1=(px(y)) y2=(px(y)) {}
            @for end in [low, high] {
                line class="whisker" x1=(px(end)) x2=(px(end)) y1=(px(y - 5.0)) y2=(px(y + 5.0)) {}
            }
            rect class="box" x=(px(first)) width=(px((third - first).max(1.0))) y=(px(y - 11.0)) height="22" {}
            line class="median" x1=(px(median)) x2=(px(median)) y1=(px(y - 11.0)) y2=(px(y + 11.0)) {}
            path class="mark" d=(format!("M{} {}l4.5 4.5l-4.5 4.5l-4.5 -4.5z", px(mean), px(y - 4.5))) {}
        }
    }
}

//! Where requests of an arm take longer than those of another: bars of parts, to either side of 0.

use maud::html;
use runlog::quantity::Print;
use runlog::trial::{DifferenceBudget, DifferenceLine};

use super::frame::{Frame, labels, unit_of};
use super::{Chart, Drawing, Size, px};
use crate::format::{ns, typeset};
use crate::scale::Scale;

/// The plot: a bar for each arm.
#[derive(Debug)]
pub struct DifferenceChart<'a> {
    /// The arms by name, with where each takes longer.
    pub budgets: Vec<(&'a str, &'a DifferenceBudget)>,
}

/// A part's name for people.
pub fn part_name(name: &str) -> &str {
    match name {
        "before_return" => "until the read has returned",
        "hook" => "in the hook, after the read",
        "after_call" => "after the call",
        other => other,
    }
}

/// The parts with where each begins and ends: those above 0 to the right of it, the others to the left.
fn edges(lines: &[DifferenceLine]) -> Vec<(&DifferenceLine, [f64; 2])> {
    let [mut low, mut high] = [0.0, 0.0];
    lines
        .iter()
        .map(|line| {
            let length = line.difference.estimate;
            let edge = if length < 0.0 { &mut low } else { &mut high };
            let begins: f64 = *edge;
            *edge += length;
            (line, [begins.min(*edge), begins.max(*edge)])
        })
        .collect()
}

impl Chart for DifferenceChart<'_> {
    fn id(&self) -> &'static str {
        "difference"
    }

    fn label(&self) -> String {
        "Where a request takes longer than one that goes past the hook".to_owned()
    }

    fn legend(&self) -> Vec<(String, String)> {
        let lines = self.budgets.first().map(|(_, budget)| &budget.lines);
        let entry = |line: &DifferenceLine| {
            (
                format!("part-{}", line.name),
                part_name(&line.name).to_owned(),
            )
        };
        lines.into_iter().flatten().map(entry).collect()
    }

    fn draw(&self, size: Size) -> Drawing {
        let (row, bar) = size.pick((38.0, 20.0), (48.0, 20.0));
        let frame = Frame {
            left: size.pick(96.0, 6.0),
            right: size.width() - size.pick(150.0, 14.0),
            top: 4.0,
            bottom: 4.0 + row * self.budgets.len() as f64,
        };
        let bars = || self.budgets.iter().map(|(_, budget)| edges(&budget.lines));
        let ends = bars().flatten().flat_map(|(_, ends)| ends);
        let [low, high] = ends.fold([0.0_f64, 0.0_f64], |[low, high], end| {
            [low.min(end), high.max(end)]
        });
        let (unit, divisor) = unit_of(high.max(-low));
        let scale = Scale::linear([low, high], frame.x());
        let zero = px(scale.place(0.0));
        let body = html! {
            (frame.x_axis(&scale, &labels(&scale.ticks(size.pick(8, 5)), divisor), &format!("longer than off, mean in {unit}")))
            @for (index, ((arm, budget), parts)) in self.budgets.iter().zip(bars()).enumerate() {
                @let top = frame.top + row * index as f64;
                @let y = top + size.pick((row - bar) / 2.0, 22.0);
                @let text_y = px(size.pick(y + 15.0, top + 16.0));
                @let total = budget.total.estimate;
                text class="strong" x=(px(size.pick(frame.left - 12.0, 6.0))) y=(text_y)
                    text-anchor=(size.pick("end", "start")) { (arm) }
                @for (part, [from, to]) in parts {
                    rect class=(format!("part-{} fill bar", part.name)) x=(px(scale.place(from))) y=(px(y)) height=(bar)
                        width=(px((scale.place(to) - scale.place(from)).max(0.5))) {
                        title { (part_name(&part.name)) ": " (typeset(&Print::estimate(&part.difference).text(part.difference.estimate))) }
                    }
                }
                text class="figure" x=(px(size.width())) y=(text_y) text-anchor="end" { (ns(total)) " in all" }
            }
            line class="zero" x1=(zero) x2=(zero) y1=(px(frame.top)) y2=(px(frame.bottom)) {}
        };
        Drawing {
            width: size.width(),
            height: frame.bottom + 42.0,
            body,
        }
    }
}

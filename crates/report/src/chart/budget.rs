//! What requests around each quantile are made of: bars of parts.

use maud::html;
use runlog::analysis::{Budget, BudgetLine};

use super::frame::{Frame, labels, unit_of};
use super::{Chart, Drawing, Size, px};
use crate::format::{ns, percent, percentile};
use crate::scale::Scale;

/// The plot.
#[derive(Debug)]
pub struct BudgetChart<'a>(pub &'a Budget);

/// A part's name for people.
pub fn part_name(name: &str) -> &str {
    match name {
        "hook_overhead" => "hook overhead",
        "read_syscall" => "read(2)",
        "write_syscall" => "write",
        "rest" => "rest: client, network, scheduling",
        other => other,
    }
}

/// A bar.
struct Bar<'a> {
    name: String,
    whole_ns: f64,
    parts: &'a [BudgetLine],
}

impl BudgetChart<'_> {
    fn bars(&self) -> Vec<Bar<'_>> {
        let mean = Bar {
            name: "mean".to_owned(),
            whole_ns: self.0.end_to_end_ns,
            parts: &self.0.lines,
        };
        let at = self.0.quantiles.iter().map(|at| Bar {
            name: percentile(at.quantile),
            whole_ns: at.end_to_end_ns,
            parts: &at.lines,
        });
        std::iter::once(mean).chain(at).collect()
    }
}

impl Chart for BudgetChart<'_> {
    fn id(&self) -> &'static str {
        "budget"
    }

    fn label(&self) -> String {
        format!("What a request of arm {} is made of", self.0.arm)
    }

    fn legend(&self) -> Vec<(String, String)> {
        let lines = self.0.lines.iter();
        lines
            .map(|line| {
                (
                    format!("part-{}", line.name),
                    part_name(&line.name).to_owned(),
                )
            })
            .collect()
    }

    fn draw(&self, size: Size) -> Drawing {
        let bars = self.bars();
        let (row, bar) = size.pick((38.0, 20.0), (48.0, 20.0));
        let frame = Frame {
            left: size.pick(64.0, 6.0),
            right: size.width() - size.pick(220.0, 14.0),
            top: 4.0,
            bottom: 4.0 + row * bars.len() as f64,
        };
        let most = bars.iter().map(|bar| bar.whole_ns).fold(0.0, f64::max);
        let (unit, divisor) = unit_of(most);
        let scale = Scale::linear([0.0, most], frame.x());
        let body = html! {
            (frame.x_axis(&scale, &labels(&scale.ticks(size.pick(8, 5)), divisor), &format!("response time in {unit}")))
            @for (index, whole) in bars.iter().enumerate() {
                @let top = frame.top + row * index as f64;
                @let y = top + size.pick((row - bar) / 2.0, 22.0);
                text class="strong" x=(px(size.pick(frame.left - 12.0, 6.0))) y=(px(size.pick(y + 15.0, top + 16.0)))
                    text-anchor=(size.pick("end", "start")) { (whole.name) }
                @for (part, from, to) in edges(whole) {
                    rect class=(format!("part-{} fill bar", part.name)) x=(px(scale.place(from))) y=(px(y)) height=(bar)
                        width=(px((scale.place(to) - scale.place(from)).max(0.5))) {
                        title { (part_name(&part.name)) ": " (ns(part.mean_ns)) }
                    }
                }
                text class="figure" x=(px(size.width())) y=(px(size.pick(y + 15.0, top + 16.0))) text-anchor="end" {
                    (ns(whole.whole_ns)) (hook_share(whole))
                }
            }
        };
        Drawing {
            width: size.width(),
            height: frame.bottom + 42.0,
            body,
        }
    }
}

/// The parts with where each begins and ends.
fn edges<'a>(bar: &Bar<'a>) -> Vec<(&'a BudgetLine, f64, f64)> {
    let mut from = 0.0;
    let parts = bar.parts.iter();
    parts
        .map(|part| {
            let begins = from;
            from += part.mean_ns.max(0.0);
            (part, begins, from)
        })
        .collect()
}

/// The share that the hook has of it.
fn hook_share(bar: &Bar<'_>) -> String {
    let hook = bar.parts.iter().find(|part| part.name == "hook_overhead");
    hook.filter(|_| bar.whole_ns > 0.0)
        .map_or_else(String::new, |hook| {
            format!(", hook {}", percent(hook.mean_ns / bar.whole_ns, 1))
        })
}

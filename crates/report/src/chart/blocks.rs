//! Block means over time: what drifts, and what was warm-up.

use maud::{Markup, html};

use super::frame::{Frame, labels, unit_of};
use super::{Chart, Drawing, Size, arm_class, dots};
use crate::data::requests::{BlockMean, Requests};
use crate::scale::Scale;

/// The plot: a panel for each state of the probes.
#[derive(Debug)]
pub struct Blocks<'a>(pub &'a Requests);

impl Blocks<'_> {
    fn of(&self, observed: bool) -> Vec<BlockMean> {
        let blocks = self.0.blocks.iter().copied();
        blocks.filter(|block| block.observed == observed).collect()
    }
}

impl Chart for Blocks<'_> {
    fn id(&self) -> &'static str {
        "blocks"
    }

    fn label(&self) -> String {
        "Means of blocks over time".to_owned()
    }

    fn legend(&self) -> Vec<(String, String)> {
        let arms = self.0.arms.iter().enumerate();
        let arms = arms.map(|(index, arm)| (arm_class(index), arm.name.clone()));
        arms.chain([("warmup".to_owned(), "all warm-up".to_owned())])
            .collect()
    }

    fn draw(&self, size: Size) -> Drawing {
        let end = self
            .0
            .blocks
            .iter()
            .map(|block| block.at_s)
            .fold(0.0, f64::max);
        let height = size.pick(200.0, 170.0);
        let panels: Vec<(&str, Vec<BlockMean>)> =
            [("probes detached", false), ("probes attached", true)]
                .into_iter()
                .map(|(name, observed)| (name, self.of(observed)))
                .filter(|(_, blocks)| !blocks.is_empty())
                .collect();
        let pitch = height + 92.0;
        let body = html! {
            @for (index, (name, blocks)) in panels.iter().enumerate() {
                @let top = 34.0 + pitch * index as f64;
                @let frame = Frame { left: 46.0, right: size.width() - 12.0, top, bottom: top + height };
                (panel(name, blocks, &frame, end, size))
            }
        };
        Drawing {
            width: size.width(),
            height: pitch * panels.len() as f64,
            body,
        }
    }
}

fn panel(name: &str, blocks: &[BlockMean], frame: &Frame, end_s: f64, size: Size) -> Markup {
    let values = || blocks.iter().map(|block| block.mean_ns);
    let (low, high) = (
        values().fold(f64::INFINITY, f64::min),
        values().fold(0.0, f64::max),
    );
    let (unit, divisor) = unit_of(high);
    let x = Scale::exactly([0.0, end_s], frame.x());
    let y = Scale::linear([low, high], frame.y());
    let place = |block: &BlockMean| (x.place(block.at_s), y.place(block.mean_ns));
    let arms = blocks
        .iter()
        .map(|block| block.arm)
        .max()
        .map_or(0, |most| most + 1);
    let of = |arm: usize, warmup: bool| {
        let blocks = blocks
            .iter()
            .filter(move |block| block.arm == arm && block.warmup == warmup);
        dots(blocks.map(place))
    };
    html! {
        (frame.x_axis(&x, &labels(&x.ticks(size.pick(9, 5)), 1.0), "time since the first request in s"))
        (frame.y_axis(&y, &labels(&y.ticks(6), divisor), &format!("{name}: mean response time in {unit}")))
        @for arm in 0..arms {
            path class="warmup dot" d=(of(arm, true)) {}
            path class=(format!("{} dot", arm_class(arm))) d=(of(arm, false)) {}
        }
    }
}

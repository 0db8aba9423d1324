//! What each quantile is shifted by, with a band of intervals.

use maud::html;
use runlog::trial::QuantileEffect;

use super::frame::{Frame, labels, unit_of};
use super::{Chart, Drawing, Size, path, px};
use crate::format::percentile;
use crate::scale::Scale;

/// The plot.
#[derive(Debug)]
pub struct QuantileChart<'a>(pub &'a [QuantileEffect]);

impl Chart for QuantileChart<'_> {
    fn id(&self) -> &'static str {
        "quantile-effects"
    }

    fn label(&self) -> String {
        "What the hook adds to each quantile of the response time".to_owned()
    }

    fn draw(&self, size: Size) -> Drawing {
        let frame = Frame {
            left: size.pick(56.0, 44.0),
            right: size.width() - 24.0,
            top: 30.0,
            bottom: 250.0,
        };
        let ends = self.0.iter().flat_map(|at| at.effect.ci95);
        let [low, high] = ends
            .filter(|end| end.is_finite())
            .fold([0.0_f64, 0.0_f64], |[low, high], end| {
                [low.min(end), high.max(end)]
            });
        let (unit, divisor) = unit_of(high.max(-low));
        let y = Scale::linear([low, high], frame.y());
        // The quantiles stand at equal distances, half of one from the ends.
        let x = Scale::exactly([-0.5, self.0.len() as f64 - 0.5], frame.x());
        let names: Vec<(f64, String)> = self
            .0
            .iter()
            .enumerate()
            .map(|(place, at)| (place as f64, percentile(at.quantile)))
            .collect();
        let line = |of: &dyn Fn(&QuantileEffect) -> f64| -> Vec<(f64, f64)> {
            let points = self.0.iter().enumerate();
            points
                .map(|(place, at)| (x.place(place as f64), y.place(of(at))))
                .collect()
        };
        let middle = line(&|at| at.effect.estimate);
        let [lower, upper] = [0, 1].map(|end| line(&|at| at.effect.ci95[end]));
        let band = path(lower.iter().chain(upper.iter().rev()).copied());
        let zero = px(y.place(0.0));
        let body = html! {
            (frame.y_axis(&y, &labels(&y.ticks(6), divisor), &format!("on minus off in {unit}, with 95 % intervals")))
            (frame.x_axis(&x, &names, "quantile of the response time"))
            line class="zero" x1=(px(frame.left)) x2=(px(frame.right)) y1=(zero) y2=(zero) {}
            g class="layer-macro" {
                path class="band" d=(format!("{band}Z")) {}
                path class="line" d=(path(middle.iter().copied())) {}
                @for (at_x, at_y) in &middle { circle class="mark" cx=(px(*at_x)) cy=(px(*at_y)) r="3.5" {} }
            }
        };
        Drawing {
            width: size.width(),
            height: frame.bottom + 42.0,
            body,
        }
    }
}

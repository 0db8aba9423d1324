//! The frame of a plot: its area, axes, grid and titles.

use maud::{Markup, html};
pub use runlog::quantity::unit_of_time as unit_of;

use super::px;
use crate::format::decimal;
use crate::scale::Scale;

/// The area that values are drawn in.
#[derive(Clone, Copy, Debug)]
pub struct Frame {
    pub left: f64,
    pub right: f64,
    pub top: f64,
    pub bottom: f64,
}

impl Frame {
    /// From left to right.
    pub fn x(&self) -> [f64; 2] {
        [self.left, self.right]
    }

    /// From bottom to top.
    pub fn y(&self) -> [f64; 2] {
        [self.bottom, self.top]
    }

    /// Lines up from labelled values, the labels below, and the axis' title.
    pub fn x_axis(&self, scale: &Scale, ticks: &[(f64, String)], title: &str) -> Markup {
        let bottom = px(self.bottom);
        html! {
            @for (value, text) in ticks {
                @let x = px(scale.place(*value));
                line class="grid" x1=(x) x2=(x) y1=(px(self.top)) y2=(bottom) {}
                text x=(x) y=(px(self.bottom + 17.0)) text-anchor=(self.anchor(scale.place(*value))) { (text) }
            }
            line class="axis" x1=(px(self.left)) x2=(px(self.right)) y1=(bottom) y2=(bottom) {}
            text class="title" x=(px(self.right)) y=(px(self.bottom + 35.0)) text-anchor="end" { (title) }
        }
    }

    /// Labels at the edges stay within the drawing.
    fn anchor(&self, x: f64) -> &'static str {
        if x > self.right - 12.0 {
            "end"
        } else {
            "middle"
        }
    }

    /// Lines across from labelled values, the labels at the left, and the axis' title above.
    pub fn y_axis(&self, scale: &Scale, ticks: &[(f64, String)], title: &str) -> Markup {
        html! {
            @for (value, text) in ticks {
                @let y = scale.place(*value);
                line class="grid" x1=(px(self.left)) x2=(px(self.right)) y1=(px(y)) y2=(px(y)) {}
                text x=(px(self.left - 7.0)) y=(px(y + 4.0)) text-anchor="end" { (text) }
            }
            text class="title" x="0" y=(px(self.top - 10.0)) { (title) }
        }
    }
}

/// Labels of an axis in such a unit, with as few decimals as tell them apart: all alike, or each as many as it needs
/// where they are powers of ten.
pub fn labels(ticks: &[f64], divisor: f64) -> Vec<(f64, String)> {
    let scaled = || ticks.iter().map(|tick| tick / divisor);
    let sizes = || scaled().map(f64::abs).filter(|size| *size > 0.0);
    let apart = sizes().fold(0.0, f64::max) > 50.0 * sizes().fold(f64::INFINITY, f64::min);
    let common = scaled().map(decimals).max().unwrap_or(0);
    let text = |value: f64| decimal(value, if apart { decimals(value) } else { common });
    ticks
        .iter()
        .zip(scaled())
        .map(|(tick, value)| (*tick, text(value)))
        .collect()
}

/// How many decimals a round value has.
fn decimals(value: f64) -> usize {
    let is_exact = |decimals: &usize| {
        let text = format!("{value:.decimals$}");
        text.parse()
            .is_ok_and(|read: f64| (read - value).abs() <= 1e-6 * value.abs())
    };
    (0..4).find(is_exact).unwrap_or(4)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_have_the_decimals_that_they_need() {
        let texts = |ticks: &[f64], divisor| -> Vec<String> {
            labels(ticks, divisor)
                .into_iter()
                .map(|(_, text)| text)
                .collect()
        };
        assert_eq!(texts(&[0.0, 20_000.0], 1e3), ["0", "20"]);
        assert_eq!(texts(&[22_500.0, 25_000.0], 1e3), ["22.5", "25.0"]);
        assert_eq!(texts(&[-10_000.0, 0.0, 100.0], 1e3), ["−10", "0", "0.1"]);
        assert_eq!(texts(&[-200.0, 1_000.0], 1.0), ["−200", "1,000"]);
    }
}

//! Lag plots, as in the paper: each response time beside the next of the same block.

use std::fmt::Write as _;

use maud::{Markup, html};

use super::frame::{Frame, labels, unit_of};
use super::{Chart, Drawing, Size, arm_class, px};
use crate::data::lag::{LagGrid, lower_end};
use crate::data::requests::ArmSample;
use crate::scale::Scale;

/// The plot: a panel an arm.
#[derive(Debug)]
pub struct Lags<'a> {
    /// Index and sample of each arm.
    pub arms: Vec<(usize, &'a ArmSample)>,
}

/// Shades; a cell's is by the logarithm of its count, as a share of that of the fullest.
const SHADES: usize = 5;
/// Where each shade but the first begins.
const TONES: [f64; SHADES - 1] = [0.2, 0.4, 0.6, 0.8];
/// The share of pairs that may lie beyond the ends of the axes, on each side.
const BEYOND: f64 = 0.005;

impl Lags<'_> {
    /// The range of response times that all but a few lie in.
    fn range(&self) -> [f64; 2] {
        let mut columns = std::collections::BTreeMap::<u16, u64>::new();
        for (_, arm) in &self.arms {
            for ((first, _), count) in arm.lag.cells() {
                *columns.entry(first).or_default() += count;
            }
        }
        let all: u64 = columns.values().sum();
        let beyond = BEYOND * all as f64;
        let low = first_beyond(columns.iter(), beyond);
        let high = first_beyond(columns.iter().rev(), beyond);
        [lower_end(low.saturating_sub(1)), lower_end(high + 2)]
    }
}

/// The first column up to which there are more than so many pairs.
fn first_beyond<'c>(columns: impl Iterator<Item = (&'c u16, &'c u64)>, pairs: f64) -> u16 {
    let mut passed = 0.0;
    for (cell, count) in columns {
        passed += *count as f64;
        if passed > pairs {
            return *cell;
        }
    }
    0
}

impl Chart for Lags<'_> {
    fn id(&self) -> &'static str {
        "lag"
    }

    fn label(&self) -> String {
        "Each response time beside the next".to_owned()
    }

    fn draw(&self, size: Size) -> Drawing {
        let range = self.range();
        let columns = size.pick(3, 1).min(self.arms.len().max(1));
        let square = size.pick(232.0, 270.0);
        let (across, down) = (size.width() / columns as f64, square + 92.0);
        let rows = self.arms.len().div_ceil(columns);
        let body = html! {
            @for (place, (index, arm)) in self.arms.iter().enumerate() {
                @let left = across * (place % columns) as f64;
                @let top = down * (place / columns) as f64;
                g transform=(format!("translate({} {})", px(left), px(top))) {
                    (panel(*index, arm, range, square))
                }
            }
        };
        Drawing {
            width: size.width(),
            height: down * rows as f64,
            body,
        }
    }
}

fn panel(index: usize, arm: &ArmSample, range: [f64; 2], side: f64) -> Markup {
    let frame = Frame {
        left: 40.0,
        right: 40.0 + side,
        top: 46.0,
        bottom: 46.0 + side,
    };
    let (unit, divisor) = unit_of(range[1]);
    let [x, y] = [frame.x(), frame.y()].map(|places| Scale::logarithmic(range, places));
    let ticks = labels(&x.ticks(5), divisor);
    html! {
        text class="strong" x="0" y="14" { (arm.name) }
        (frame.x_axis(&x, &ticks, &format!("response time in {unit}")))
        (frame.y_axis(&y, &ticks, &format!("the next in {unit}")))
        @for (shade, d) in shades(&arm.lag, &x, &y).into_iter().enumerate() {
            path class=(format!("{} cell shade-{shade}", arm_class(index))) d=(d) {}
        }
    }
}

/// The squares of each shade.
fn shades(grid: &LagGrid, x: &Scale, y: &Scale) -> [String; SHADES] {
    let [low, high] = x.values();
    let inside = |cell: u16| lower_end(cell) >= low * 0.999 && lower_end(cell + 1) <= high * 1.001;
    let most = grid.cells().map(|(_, count)| count).max().unwrap_or(1);
    let mut paths = [const { String::new() }; SHADES];
    let mut cells: Vec<_> = grid
        .cells()
        .filter(|((first, second), _)| inside(*first) && inside(*second))
        .collect();
    cells.sort_unstable();
    for ((first, second), count) in cells {
        let share = (count as f64).ln_1p() / (most as f64).ln_1p();
        let tone = TONES.partition_point(|least| *least <= share);
        let [left, right] = [first, first + 1].map(|cell| x.place(lower_end(cell)));
        let [bottom, top] = [second, second + 1].map(|cell| y.place(lower_end(cell)));
        let _ = write!(
            paths[tone],
            "M{} {}h{}v{}h-{}z",
            px(left),
            px(top),
            px(right - left),
            px(bottom - top),
            px(right - left)
        );
    }
    paths
}

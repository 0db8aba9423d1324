//! Response time by percentile, a line an arm, on the axis of nines that HdrHistogram plots have.

use maud::html;

use super::frame::{Frame, labels, unit_of};
use super::{Chart, Drawing, Size, arm_class, path};
use crate::data::distribution::Distribution;
use crate::format::percentile;
use crate::scale::Scale;

/// The plot.
#[derive(Debug)]
pub struct Percentiles<'a> {
    /// A line each, with the index of its arm.
    pub arms: Vec<(usize, &'a Distribution)>,
}

impl Chart for Percentiles<'_> {
    fn id(&self) -> &'static str {
        "percentiles"
    }

    fn label(&self) -> String {
        "Response time by percentile".to_owned()
    }

    fn legend(&self) -> Vec<(String, String)> {
        let arms = self.arms.iter();
        arms.map(|(index, arm)| (arm_class(*index), arm.arm.clone()))
            .collect()
    }

    fn draw(&self, size: Size) -> Drawing {
        let frame = Frame {
            left: 46.0,
            right: size.width() - 12.0,
            top: 30.0,
            bottom: size.pick(330.0, 270.0),
        };
        let curves: Vec<(usize, Vec<(f64, f64)>)> = self
            .arms
            .iter()
            .map(|(index, arm)| (*index, arm.curve()))
            .collect();
        let values = || {
            curves
                .iter()
                .flat_map(|(_, curve)| curve.iter().map(|point| point.1))
        };
        let (low, high) = (
            values().fold(f64::INFINITY, f64::min),
            values().fold(0.0, f64::max),
        );
        let most = self
            .arms
            .iter()
            .map(|(_, arm)| arm.most())
            .fold(0.9, f64::max);
        let x = Scale::nines(most, frame.x());
        let y = Scale::logarithmic([low * 0.95, high * 1.05], frame.y());
        let (unit, divisor) = unit_of(high);
        let percentiles: Vec<(f64, String)> = x
            .ticks(8)
            .into_iter()
            .map(|quantile| {
                (
                    quantile,
                    if quantile > 0.0 {
                        percentile(quantile)
                    } else {
                        "min".to_owned()
                    },
                )
            })
            .filter(|(quantile, _)| size == Size::Wide || !(0.1..0.6).contains(quantile))
            .collect();
        let body = html! {
            (frame.x_axis(&x, &percentiles, "percentile of the requests; each nine is as far as the one before"))
            (frame.y_axis(&y, &labels(&y.ticks(8), divisor), &format!("response time in {unit}, logarithmic")))
            @for (index, curve) in &curves {
                path class=(format!("{} line", arm_class(*index)))
                    d=(path(curve.iter().map(|(quantile, ns)| (x.place(*quantile), y.place(*ns))))) {}
            }
        };
        Drawing {
            width: size.width(),
            height: frame.bottom + 42.0,
            body,
        }
    }
}

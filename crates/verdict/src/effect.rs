//! The difference of two arms by each estimand: one rule for blocks of a run and for recorded arms.

use runlog::comparison::Effect;
use runlog::estimate::Unit;
use stats::Interval;
use stats::counted::Split;

use crate::estimate;
use crate::order::Order;

/// How the interval of a mean is made of those of its parts.
const SUM_OF_PARTS: &str = "sum of body and tail, ends of the intervals added";

/// The value of a block for each estimand.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Value {
    /// Their mean, in two parts.
    pub split: Split,
    /// Their median.
    pub median: f64,
}

impl Value {
    /// The body of the mean.
    pub fn body(&self) -> f64 {
        self.split.body
    }
}

/// A part of the values of blocks, by round.
pub fn part(values: &[Option<Value>], part: fn(&Value) -> f64) -> Vec<Option<f64>> {
    let values = values.iter();
    values.map(|value| value.as_ref().map(part)).collect()
}

/// What the second arm has more than the first, by round, times `scale`. `whose` ends what is said of each estimand.
///
/// Median and body are located, so that bad blocks do not move them. What is above the threshold is in few requests, and none of
/// it may be left out: it is averaged.
pub fn effect(
    order: Order,
    [control, treatment]: [&[Option<Value>]; 2],
    unit: Unit,
    scale: f64,
    whose: &str,
) -> Effect {
    let located = |of| {
        let location = order.location(&part(control, of), &part(treatment, of));
        location?.interval()
    };
    let averaged = |of| {
        let mean = order.mean(&part(control, of), &part(treatment, of));
        mean?.interval()
    };
    let of = |interval: Option<Interval>, what: &str, method: &str| {
        let estimand = format!("difference of {what}{whose}");
        Some(estimate(interval?.scaled(scale), unit, &estimand, method))
    };
    let (robust, plain) = (order.method(), order.method_of_mean());
    let (body, tail) = (located(Value::body), averaged(|of| of.split.tail));
    let share_above = averaged(|of| of.split.share_above).map(|interval| {
        let estimand =
            format!("difference of the shares of response times above the threshold{whose}");
        estimate(interval, Unit::One, &estimand, &plain)
    });
    Effect {
        typical: of(located(|of| of.median), "median response times", &robust),
        body: of(body, "means of min(response time, threshold)", &robust),
        tail: of(
            tail,
            "means of what response times have above the threshold",
            &plain,
        ),
        mean: of(
            body.zip(tail).map(|(body, tail)| body.plus(tail)),
            "mean response times, body and tail",
            SUM_OF_PARTS,
        ),
        share_above,
    }
}

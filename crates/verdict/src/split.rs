//! Response times split at a threshold, into body and tail: the mean cost is in both together, and neither a rare cost nor a rare
//! disturbance is lost.

use stats::spread;

/// A value of a block for each estimand, in ns.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Split {
    /// Mean of min(time, threshold), ns.
    pub body_ns: f64,
    /// Mean of what is above it, ns.
    pub tail_ns: f64,
    /// Share of the times above it.
    pub share_above: f64,
}

impl Split {
    /// Of times in any order; `None` without any.
    pub fn of(times_ns: &[f64], threshold_ns: f64) -> Option<Self> {
        let count = times_ns.len() as f64;
        let above = times_ns.iter().filter(|took_ns| **took_ns > threshold_ns);
        let (above, excess_ns) = above.fold((0.0, 0.0), |(above, excess_ns), took_ns| {
            (above + 1.0, excess_ns + took_ns - threshold_ns)
        });
        let body_ns: f64 = times_ns.iter().map(|ns| ns.min(threshold_ns)).sum();
        (count > 0.0).then(|| Self {
            body_ns: body_ns / count,
            tail_ns: excess_ns / count,
            share_above: above / count,
        })
    }
}

/// The median of times in any order, ties spread over the clock's step. Sorts them. `None` without any.
pub fn median_ns(times_ns: &mut [f64]) -> Option<f64> {
    times_ns.sort_unstable_by(f64::total_cmp);
    spread::quantile(times_ns, spread::step(times_ns), 0.5)
}

//! Where response times are split into body and tail: once for all arms, before they are compared.

use runlog::comparison::ThresholdFrom;

use super::RecordedArm;
use crate::threshold::of_longest;

/// The threshold, ns, by the arm whose median is longest: a hook must not cut itself off. A warm-up is nothing that is compared;
/// where an arm has none, the arms themselves have to do. `None` without values.
pub fn of(arms: &[RecordedArm]) -> Option<(f64, ThresholdFrom)> {
    let longest = |median: fn(&RecordedArm) -> Option<f64>| {
        let medians: Option<Vec<f64>> = arms.iter().map(median).collect();
        of_longest(medians?.into_iter())
    };
    let of_warm_ups = longest(|arm| arm.warm_up_median_ns).map(|ns| (ns, ThresholdFrom::WarmUps));
    let of_arms = || {
        Some((
            longest(|arm| arm.counted().quantile(0.5))?,
            ThresholdFrom::Arms,
        ))
    };
    of_warm_ups.or_else(of_arms)
}

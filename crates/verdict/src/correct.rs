//! Corrected values: what was seen, less what the probes themselves add to it.

use runlog::calibration::Calibrated;
use runlog::estimate::Estimate;
use runlog::trace::{CorrectedSpan, SpanSummary};

use crate::{as_interval, estimate};

/// The corrected value of an estimate. Its interval holds the uncertainty of both.
pub fn corrected(seen: &Estimate, bias: &Estimate) -> Estimate {
    let interval = as_interval(seen).minus(as_interval(bias));
    estimate(
        interval,
        seen.unit,
        &format!("{}, less what probing adds", seen.estimand),
        &format!(
            "{}; the half-width of what probing adds ({} ns) is added in quadrature",
            seen.method,
            half_width_ns(bias).round()
        ),
    )
}

/// The corrected values of a summary. Its quantiles are all shifted by the same: the bias's own tail is
/// not known to be that of the same calls.
pub fn corrected_span(seen: &SpanSummary, calibrated: &Calibrated) -> CorrectedSpan {
    let shift_ns = calibrated.bias_median.estimate;
    let shifted = |quantile_ns: u64| quantile_ns as f64 - shift_ns;
    CorrectedSpan {
        mean_ns: seen.mean_ns - calibrated.bias_mean.estimate,
        mean_uncertainty_ns: half_width_ns(&calibrated.bias_mean),
        p50_ns: shifted(seen.p50_ns),
        p90_ns: shifted(seen.p90_ns),
        p99_ns: shifted(seen.p99_ns),
        p999_ns: shifted(seen.p999_ns),
        quantile_uncertainty_ns: half_width_ns(&calibrated.bias_median),
        after_pause_ns: calibrated
            .bias_after_pause
            .as_ref()
            .map(|bias| bias.estimate - shift_ns),
    }
}

fn half_width_ns(bias: &Estimate) -> f64 {
    as_interval(bias).half_width()
}

#[cfg(test)]
mod tests;

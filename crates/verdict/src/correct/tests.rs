use runlog::estimate::Unit;

use super::*;

fn ns(estimate_ns: f64, half_width_ns: f64) -> Estimate {
    Estimate {
        estimate: estimate_ns,
        ci95: [estimate_ns - half_width_ns, estimate_ns + half_width_ns],
        unit: Unit::Ns,
        estimand: "mean".to_owned(),
        method: "t".to_owned(),
        blocks: 10,
    }
}

#[test]
fn what_probing_adds_is_taken_off() {
    let found = corrected(&ns(327.0, 3.0), &ns(27.0, 4.0));
    assert_eq!((found.estimate, found.ci95), (300.0, [295.0, 305.0]));
    assert!(found.estimand.contains("less what probing adds"));
}

#[test]
fn means_and_quantiles_have_corrections_of_their_own() {
    let seen = SpanSummary {
        count: 9,
        mean_ns: 1_000.0,
        p50_ns: 900,
        p90_ns: 1_100,
        p99_ns: 1_200,
        p999_ns: 1_300,
        max_ns: 5_000,
        exact: None,
        corrected: None,
    };
    let calibrated = Calibrated {
        attach_type: "uprobe+uretprobe".to_owned(),
        span: "function".to_owned(),
        first_instruction: None,
        bias_mean: ns(400.0, 8.0),
        bias_median: ns(350.0, 2.0),
        bias_after_pause: Some(ns(410.0, 20.0)),
        caller_cost: None,
    };
    let found = corrected_span(&seen, &calibrated);
    assert_eq!((found.mean_ns, found.mean_uncertainty_ns), (600.0, 8.0));
    assert_eq!(
        (found.p50_ns, found.p999_ns, found.quantile_uncertainty_ns),
        (550.0, 950.0, 2.0)
    );
    assert_eq!(found.after_pause_ns, Some(60.0));
}

use runlog::estimate::Unit;

use super::*;

/// Of eight processes.
fn estimate(estimate: f64, half_width: f64) -> Estimate {
    Estimate {
        estimate,
        ci95: [estimate - half_width, estimate + half_width],
        unit: Unit::Ns,
        estimand: String::new(),
        method: String::new(),
        blocks: 8,
    }
}

/// Of an interval, where the truth is 500 ± 50 ns, and up to 100 more are not missed.
fn finding(rows: usize, found: Estimate) -> Finding {
    let allowed = Allowed {
        least_ns: 5.0,
        share: 0.1,
        share_above: 0.2,
    };
    Rows(rows).look(Some(found), 500.0, allowed).finding
}

#[test]
fn found_takes_the_whole_interval_within_the_tolerance_and_above_zero() {
    let of = |at, half_width| finding(1, estimate(at, half_width));
    assert_eq!(of(500.0, 50.0), Finding::Found);
    assert_eq!(of(545.0, 5.0), Finding::Found);
    for (at, half_width) in [(545.0, 6.0), (455.0, 6.0), (500.0, 51.0)] {
        assert_eq!(of(at, half_width), Finding::Unresolved, "{at}");
    }
    let short = |half_width| {
        Rows(1)
            .look(Some(estimate(20.0, half_width)), 20.0, MACRO)
            .finding
    };
    assert_eq!(
        (short(19.0), short(21.0)),
        (Finding::Found, Finding::Unresolved)
    );
    assert_eq!(Rows(1).look(None, 1.0, SLOPE).finding, Finding::Unresolved);
}

#[test]
fn missed_takes_an_interval_for_all_rows_beyond_the_limit() {
    // 97.5 % and 1 - 0.025 / 15 of Student's t with 7 degrees of freedom, by numerical integration of its density.
    let (single, of_15) = (2.364_624, 4.355_275);
    let half_width = 10.0;
    let reach = half_width * of_15 / single;
    for edge in [-50.0_f64, 100.0] {
        let of = |rows, off: f64| {
            finding(
                rows,
                estimate(500.0 + edge + off.copysign(edge), half_width),
            )
        };
        assert_eq!(of(1, half_width - 0.01), Finding::Unresolved);
        assert_eq!(of(1, half_width + 0.01), Finding::Missed);
        assert_eq!(of(15, reach - 0.01), Finding::Unresolved);
        assert_eq!(of(15, reach + 0.01), Finding::Missed);
    }
}

#[test]
fn the_worst_row_is_what_the_run_says() {
    assert!(Finding::Found < Finding::Unresolved && Finding::Unresolved < Finding::Missed);
}

#[test]
fn what_is_detectable_goes_by_the_standard_error() {
    let many = Estimate {
        blocks: 1_000,
        ..estimate(0.0, 196.0)
    };
    // With so many a half-width of 196 ns is a standard error of 100 ns; 1.96 + 0.84 of them.
    let found = detectable(&many).unwrap();
    assert!((found.ns - 280.0).abs() < 1.0, "{}", found.ns);
}

#[test]
fn a_delay_that_lasts_otherwise_than_asked_for_is_no_truth() {
    let lasting = |lasted_ns: f64| Delay {
        arm: "arm-1".to_owned(),
        asked_ns: 1_000,
        median_ns: Some(lasted_ns),
        in_macro_ns: Some(lasted_ns),
    };
    for (lasted_ns, is_said) in [(1_040.0, false), (1_101.0, true), (899.0, true)] {
        let key = [lasting(lasted_ns)];
        assert_eq!(not_as_asked(&key).next().is_some(), is_said, "{lasted_ns}");
    }
}

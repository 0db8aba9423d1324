use super::*;

/// Deviations without a pattern, between -1 and 1.
fn noise(index: u32) -> f64 {
    f64::from(index.wrapping_mul(2_654_435_761) >> 16) / 32768.0 - 1.0
}

fn series(levels: &[(u32, f64)]) -> Vec<f64> {
    let levels = levels
        .iter()
        .flat_map(|(n, level)| vec![*level; *n as usize]);
    levels
        .zip(0..)
        .map(|(level, index)| level + noise(index))
        .collect()
}

#[test]
fn a_warm_up_ends_with_its_last_step() {
    let values = series(&[(30, 20.0), (40, 14.0), (130, 10.0)]);
    assert_eq!(changes(&values), [30, 70]);
    assert_eq!(warm_up(&values), WarmUp::Ends(70));
    let up_and_down = series(&[(20, 10.0), (30, 14.0), (150, 10.0)]);
    let ends = warm_up(&up_and_down);
    assert!(
        matches!(ends, WarmUp::Ends(at) if at.abs_diff(50) <= 2),
        "{ends:?}"
    );
}

#[test]
fn a_steady_series_needs_no_warm_up() {
    assert_eq!(warm_up(&series(&[(200, 10.0)])), WarmUp::Ends(0));
    assert_eq!(warm_up(&[3.0; 50]), WarmUp::Ends(0));
    assert_eq!(warm_up(&[]), WarmUp::Ends(0));
    // Too short to say anything.
    assert_eq!(warm_up(&series(&[(4, 20.0), (5, 10.0)])), WarmUp::Ends(0));
    assert_eq!(
        warm_up(&series(&[(10, 20.0), (10, 10.0)])),
        WarmUp::Ends(10)
    );
}

#[test]
fn a_level_that_comes_late_is_no_warm_up_that_ended() {
    let values = series(&[(140, 20.0), (60, 10.0)]);
    assert_eq!(warm_up(&values), WarmUp::DoesNotEnd(140));
    let after_a_warm_up = series(&[(30, 30.0), (120, 10.0), (50, 14.0)]);
    assert_eq!(warm_up(&after_a_warm_up), WarmUp::DoesNotEnd(150));
}

/// However far they stick out: nothing but their number counts.
#[test]
fn values_that_stick_out_are_no_level() {
    for (at, count) in [(50, 1), (120, 3), (197, 3), (199, 1), (90, 20), (130, 20)] {
        for value in [20.0, 60.0, 1e6] {
            let mut values = series(&[(200, 10.0)]);
            values[at..at + count].fill(value);
            assert_eq!(
                warm_up(&values),
                WarmUp::Ends(0),
                "{count} of {value} at {at}"
            );
        }
    }
}

#[test]
fn levels_are_found_among_values_that_stick_out() {
    let mut values = series(&[(30, 20.0), (170, 10.0)]);
    for at in [5, 17, 60, 61, 110, 150, 199] {
        values[at] = 80.0;
    }
    assert_eq!(warm_up(&values), WarmUp::Ends(30));
}

#[test]
fn equal_values_have_levels_too() {
    let values = [[7.0; 20], [5.0; 20], [5.0; 20]].concat();
    assert_eq!(warm_up(&values), WarmUp::Ends(20));
}

/// Ranks of few windows that are far above all others sum up to no more than chance makes.
#[test]
fn a_warm_up_is_seen_from_five_windows_on() {
    let values = |windows| series(&[(windows, 60.0), (200 - windows, 10.0)]);
    assert_eq!(warm_up(&values(3)), WarmUp::Ends(0));
    assert_eq!(warm_up(&values(6)), WarmUp::Ends(6));
}

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
fn steps_are_found_where_they_are() {
    let values = series(&[(30, 20.0), (40, 14.0), (130, 10.0)]);
    assert_eq!(change_points(&values), [30, 70]);
    assert_eq!(warm_up(&values), WarmUp::Ends(70));
}

#[test]
fn a_steady_series_has_no_change_and_needs_no_warm_up() {
    assert!(change_points(&series(&[(200, 10.0)])).is_empty());
    assert_eq!(warm_up(&series(&[(200, 10.0)])), WarmUp::Ends(0));
    assert_eq!(warm_up(&[3.0; 50]), WarmUp::Ends(0));
    assert_eq!(warm_up(&[]), WarmUp::Ends(0));
}

#[test]
fn a_change_in_the_second_half_is_no_warm_up_that_ended() {
    let values = series(&[(140, 20.0), (60, 10.0)]);
    assert_eq!(warm_up(&values), WarmUp::DoesNotEnd(140));
}

#[test]
fn one_value_that_sticks_out_is_no_change() {
    let mut values = series(&[(200, 10.0)]);
    values[50] = 14.0;
    assert!(change_points(&values).is_empty());
}

#[test]
fn values_that_stick_out_are_no_change() {
    for (at, count) in [(50, 1), (120, 3), (197, 3), (199, 1)] {
        for value in [20.0, 60.0, 1e6] {
            let mut values = series(&[(200, 10.0)]);
            values[at..at + count].fill(value);
            assert!(
                change_points(&values).is_empty(),
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
    assert_eq!(change_points(&values), [30]);
}

#[test]
fn a_short_level_at_the_beginning_is_a_warm_up() {
    let values = series(&[(3, 60.0), (197, 10.0)]);
    assert_eq!(warm_up(&values), WarmUp::Ends(3));
}

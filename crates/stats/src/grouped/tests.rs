use super::*;

fn group(lowest: f64, highest: f64, count: u64) -> Group {
    Group {
        lowest,
        highest,
        count,
    }
}

#[test]
fn exact_groups_have_the_mean_and_median_of_their_values() {
    // 1, 2, 2, 3, 1000: mean 201.6, trimmed by one at each end 7/3, median 2.
    let groups = [
        group(1.0, 1.0, 1),
        group(2.0, 2.0, 2),
        group(3.0, 3.0, 1),
        group(1000.0, 1000.0, 1),
    ];
    assert_eq!(trimmed_mean(&groups, Trim::NONE), Some(201.6));
    let trim = Trim::each_end(0.2).unwrap();
    assert!((trimmed_mean(&groups, trim).unwrap() - 7.0 / 3.0).abs() < 1e-12);
    assert_eq!(quantile(&groups, 0.5), Some(2.0));
    assert_eq!(quantile(&groups, 1.0), Some(1000.0));
    assert_eq!(quantile(&groups, 0.0), Some(1.0));
}

#[test]
fn the_median_is_interpolated_within_its_bucket() {
    // Half of all values lie below 10 + 0.75 * 8.
    let groups = [
        group(0.0, 9.0, 2),
        group(10.0, 18.0, 8),
        group(20.0, 30.0, 6),
    ];
    assert_eq!(quantile(&groups, 0.5), Some(16.0));
}

#[test]
fn trimming_cuts_through_groups() {
    // Ten values; one is cut at each end: three at 1, five at 2.
    let groups = [group(1.0, 1.0, 4), group(2.0, 2.0, 6)];
    let trim = Trim::each_end(0.1).unwrap();
    assert_eq!(trimmed_mean(&groups, trim), Some(13.0 / 8.0));
}

#[test]
fn nothing_has_no_mean_and_no_quantile() {
    assert_eq!(trimmed_mean(&[], Trim::NONE), None);
    assert_eq!(quantile(&[], 0.5), None);
    assert_eq!(quantile(&[group(1.0, 2.0, 0)], 0.5), None);
}

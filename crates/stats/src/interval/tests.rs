use super::*;

fn close(left: f64, right: f64) -> bool {
    (left - right).abs() <= 1e-9 * right.abs()
}

/// Student's own sleep data (Biometrika 6, 1908, table on p. 20): extra hours of sleep under
/// two drugs for ten patients. `scipy.stats.ttest_rel(b, a).confidence_interval()` gives
/// 0.7001142, 2.4598858 for the mean difference of 1.58 hours.
#[test]
fn the_paired_interval_of_students_sleep_data() {
    let a = [0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0].map(Some);
    let b = [1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4].map(Some);
    let interval = paired_difference(&a, &b).unwrap();
    assert!(close(interval.estimate, 1.58));
    assert!((interval.ci95[0] - 0.700_114_2).abs() < 1e-6);
    assert!((interval.ci95[1] - 2.459_885_8).abs() < 1e-6);
    assert_eq!(interval.blocks, 10);
}

#[test]
fn the_quantile_of_t_is_the_one_of_the_tables() {
    // Two values at distance 2 have a standard error of 1; t(0.975, 1) = 12.706204736.
    let interval = mean_interval(&[-1.0, 1.0]).unwrap();
    assert!((interval.ci95[1] - 12.706_204_736).abs() < 1e-6);
}

#[test]
fn less_than_two_blocks_have_no_interval() {
    assert_eq!(mean_interval(&[]), None);
    assert_eq!(mean_interval(&[1.0]), None);
    assert_eq!(
        paired_difference(&[Some(1.0), None], &[Some(2.0), Some(3.0)]),
        None
    );
}

#[test]
fn rounds_with_a_missing_block_are_left_out() {
    let control = [Some(1.0), None, Some(1.0), Some(1.0)];
    let treatment = [Some(3.0), Some(9.0), Some(5.0), None];
    let interval = paired_difference(&control, &treatment).unwrap();
    assert_eq!((interval.estimate, interval.blocks), (3.0, 2));
}

#[test]
fn drift_common_to_both_arms_cancels() {
    let drift = |round: usize| 1e6 * round as f64;
    let control: Vec<_> = (0..10).map(|round| Some(drift(round))).collect();
    let treatment: Vec<_> = (0..10).map(|round| Some(drift(round) + 250.0)).collect();
    let interval = paired_difference(&control, &treatment).unwrap();
    assert!(interval.contains(250.0));
    assert!(!interval.contains(249.9) && !interval.contains(250.1));
}

#[test]
fn half_widths_of_independent_estimates_add_in_quadrature() {
    let interval = |estimate, half_width, blocks| Interval {
        estimate,
        ci95: [estimate - half_width, estimate + half_width],
        blocks,
    };
    let difference = interval(10.0, 3.0, 7).minus(interval(4.0, 4.0, 5));
    assert_eq!(difference, interval(6.0, 5.0, 5));
    assert!(close(difference.half_width(), 5.0));
}

#[test]
fn scaling_keeps_the_ends_in_order() {
    let interval = mean_interval(&[1.0, 3.0, 5.0]).unwrap().scaled(-2.0);
    assert!(close(interval.estimate, -6.0));
    assert!(interval.ci95[0] < interval.ci95[1]);
}

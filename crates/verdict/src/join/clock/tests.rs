use super::*;

fn bounds(low_ns: i64, high_ns: i64) -> Bounds {
    Bounds { low_ns, high_ns }
}

#[test]
fn the_most_bounds_win_and_a_wrong_one_is_outvoted() {
    // The example of Marzullo's thesis: 8 to 12, 11 to 13 and 14 to 15 agree on 11 to 12.
    let three = [bounds(8, 12), bounds(11, 13), bounds(14, 15)];
    assert_eq!(agreed(&three), Some(bounds(11, 12)));
    let touching = [bounds(0, 5), bounds(5, 9), bounds(100, 200)];
    assert_eq!(agreed(&touching), Some(bounds(5, 5)));
    let nested = [bounds(0, 100), bounds(40, 60), bounds(55, 90)];
    assert_eq!(agreed(&nested), Some(bounds(55, 60)));
    assert_eq!(agreed(&[bounds(3, 2)]), None);
    assert_eq!(agreed(&[]), None);
}

#[test]
fn one_offset_that_fits_all_is_bounded_more_closely() {
    let mut summary = Summary::new(ClockRelation::Two);
    assert_eq!(summary.finish(), None);
    summary.add(bounds(-1_010, -990));
    summary.add(bounds(-1_002, -980));
    let clocks = summary.finish().unwrap();
    let found = [clocks.offset_ns, clocks.bound_ns, clocks.drift_ns];
    assert_eq!(
        found.map(f64::to_bits),
        [-996.0, 6.0, 0.0].map(f64::to_bits)
    );
}

#[test]
fn clocks_that_drift_say_so() {
    let mut summary = Summary::new(ClockRelation::Two);
    summary.add(bounds(0, 10));
    summary.add(bounds(30, 40));
    let clocks = summary.finish().unwrap();
    let found = [clocks.offset_ns, clocks.bound_ns, clocks.drift_ns];
    assert_eq!(
        found.map(f64::to_bits),
        [20.0, 20.0, 20.0].map(f64::to_bits)
    );
}

#[test]
fn one_clock_has_no_offset_and_says_what_would_go_unnoticed() {
    let mut summary = Summary::new(ClockRelation::One);
    summary.add(bounds(-9_000, 4_000));
    let clocks = summary.finish().unwrap();
    assert_eq!((clocks.offset_ns, clocks.bound_ns), (0.0, 9_000.0));
}

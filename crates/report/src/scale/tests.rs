use super::*;

fn close(a: f64, b: f64) -> bool {
    (a - b).abs() < 1e-9
}

#[test]
fn places_follow_the_spacing() {
    let linear = Scale::linear([0.0, 100.0], [10.0, 110.0]);
    assert!(close(linear.place(25.0), 35.0));
    let upwards = Scale::exactly([0.0, 100.0], [110.0, 10.0]);
    assert!(close(upwards.place(25.0), 85.0));
    let log = Scale::logarithmic([1.0, 10_000.0], [0.0, 400.0]);
    assert!(close(log.place(100.0), 200.0));
    let nines = Scale::nines(0.9999, [0.0, 400.0]);
    for (quantile, place) in [(0.0, 0.0), (0.9, 100.0), (0.99, 200.0), (0.999, 300.0)] {
        assert!((nines.place(quantile) - place).abs() < 1e-6, "{quantile}");
    }
}

#[test]
fn what_lies_beyond_the_ends_is_drawn_at_the_ends() {
    let scale = Scale::exactly([1.0, 2.0], [0.0, 100.0]);
    assert!(close(scale.place(-5.0), 0.0) && close(scale.place(9.0), 100.0));
    let log = Scale::logarithmic([1.0, 10.0], [0.0, 100.0]);
    assert!(close(log.place(0.0), 0.0));
}

#[test]
fn labelled_values_are_round_and_cover_the_axis() {
    let [low, high] = Scale::linear([-579.0, 523.0], [0.0, 1.0]).values();
    assert!(close(low, -600.0) && close(high, 600.0));
    let ticks = Scale::exactly([0.0, 10.0], [0.0, 1.0]).ticks(6);
    assert_eq!(ticks, [0.0, 2.0, 4.0, 6.0, 8.0, 10.0]);
    let decades = Scale::logarithmic([1.0, 1e6], [0.0, 1.0]).ticks(8);
    assert_eq!(decades.len(), 7);
    let within = Scale::logarithmic([15.0, 50.0], [0.0, 1.0]).ticks(6);
    assert_eq!(within, [20.0, 30.0, 40.0, 50.0]);
}

#[test]
fn a_symmetric_axis_shows_small_and_large_on_both_sides() {
    let scale = Scale::symmetric(100.0, [-10_000.0, 10_000.0], [0.0, 200.0]);
    assert!(close(scale.place(0.0), 100.0));
    assert!(close(scale.place(-3_000.0) + scale.place(3_000.0), 200.0));
    let ticks = scale.ticks(7);
    assert_eq!(
        ticks,
        [-10_000.0, -1_000.0, -100.0, 0.0, 100.0, 1_000.0, 10_000.0]
    );
    let upper = Scale::symmetric(300.0, [-50.0, 20_000.0], [0.0, 200.0]).ticks(7);
    assert_eq!(upper, [0.0, 1_000.0, 10_000.0]);
}

#[test]
fn one_value_alone_has_an_axis() {
    for scale in [
        Scale::linear([7.0, 7.0], [0.0, 100.0]),
        Scale::logarithmic([7.0, 7.0], [0.0, 100.0]),
        Scale::linear([0.0, 0.0], [0.0, 100.0]),
    ] {
        let place = scale.place(scale.values()[0].midpoint(scale.values()[1]));
        assert!(place.is_finite() && !scale.ticks(5).is_empty(), "{scale:?}");
    }
}

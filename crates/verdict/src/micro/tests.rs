use super::*;

fn blocks(temperature: Temperature, overheads_ns: &[f64]) -> Blocks {
    let block = |overhead_ns: &f64| MicroBlock {
        hooked_ns: 400.0 + overhead_ns,
        bare_ns: 400.0,
        hooked_mean_ns: 450.0 + overhead_ns,
        bare_mean_ns: 410.0,
    };
    [(temperature, overheads_ns.iter().map(block).collect())].into()
}

#[test]
fn increments_are_paired_by_round() {
    // A drift that both rungs share leaves no trace in what the second adds.
    let lookup = blocks(Temperature::Hot, &[10.0, 110.0, 20.0]);
    let scan = blocks(Temperature::Hot, &[40.0, 140.0, 50.0]);
    let cost = |before| cost(&scan, before, Temperature::Hot).unwrap();
    assert_eq!(cost(None).increment, None);
    let increment = cost(Some(&lookup)).increment.unwrap();
    assert!((increment.estimate - 30.0).abs() < 1e-9);
    assert!((increment.ci95[1] - increment.ci95[0]).abs() < 1e-9);
    assert!((cost(None).overhead.estimate - 230.0 / 3.0).abs() < 1e-9);
    assert!((cost(None).bare_read.estimate - 400.0).abs() < 1e-9);
}

#[test]
fn a_temperature_that_was_not_measured_has_no_cost() {
    let hot = blocks(Temperature::Hot, &[1.0, 2.0]);
    assert_eq!(cost(&hot, None, Temperature::Cold), None);
    assert_eq!(
        cost(&blocks(Temperature::Hot, &[1.0]), None, Temperature::Hot),
        None
    );
}

#[test]
fn a_figure_predicts_when_it_is_near_or_not_told_apart() {
    let ns = |estimate_ns: f64, half_width_ns: f64| {
        let ci95 = [estimate_ns - half_width_ns, estimate_ns + half_width_ns];
        let interval = Interval {
            estimate: estimate_ns,
            ci95,
            blocks: 9,
        };
        estimate(interval, Unit::Ns, "", "")
    };
    let predicts =
        |micro: &Estimate, in_situ: &Estimate| predict(Temperature::Cold, micro, in_situ).predicts;
    assert!(predicts(&ns(292.0, 1.0), &ns(300.0, 1.0)), "off by 3 %");
    assert!(!predicts(&ns(200.0, 1.0), &ns(300.0, 1.0)));
    assert!(
        predicts(&ns(200.0, 150.0), &ns(300.0, 1.0)),
        "not told apart"
    );
    let off = predict(Temperature::Hot, &ns(200.0, 3.0), &ns(300.0, 4.0));
    assert_eq!(
        (off.in_situ_minus_micro.ci95, off.temperature.as_str()),
        ([95.0, 105.0], "hot")
    );
}

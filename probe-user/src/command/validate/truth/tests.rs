use super::*;

fn found(estimate_ns: f64, half_width_ns: f64) -> Estimate {
    Estimate {
        estimate: estimate_ns,
        ci95: [estimate_ns - half_width_ns, estimate_ns + half_width_ns],
        unit: Unit::Ns,
        estimand: String::new(),
        method: String::new(),
        blocks: 1_000,
    }
}

#[test]
fn the_files_of_a_run_do_not_say_the_delays() {
    let hook = HookSpec {
        path: "/hook.so".into(),
        environment: Vec::new(),
    };
    let delays = [500, 1_000, 2_000, 5_000];
    let (Key(key), arms) = seal(&hook, &delays, 1);
    for arm in &arms {
        let described = arm.hook.as_ref().unwrap();
        assert!(described.environment.is_empty());
        assert!(!arm.name.contains("00"), "{}", arm.name);
    }
    assert_eq!(arms[0].sealed, [(DELAY.to_owned(), BASE_NS.to_string())]);
    for ((name, delay_ns), arm) in key.iter().zip(&arms[1..]) {
        assert_eq!(*name, arm.name);
        let wait_ns = BASE_NS + delay_ns;
        assert_eq!(arm.sealed, [(DELAY.to_owned(), wait_ns.to_string())]);
    }
    let mut sorted: Vec<u64> = key.iter().map(|(_, delay_ns)| *delay_ns).collect();
    let another = seal(&hook, &delays, 2).0;
    assert!(
        another
            .0
            .iter()
            .zip(&key)
            .any(|(left, right)| left != right)
    );
    sorted.sort_unstable();
    assert_eq!(sorted, delays);
}

#[test]
fn a_delay_holds_within_three_percent_or_sixty_nanoseconds() {
    let at = |injected_ns, in_situ_ns, macro_ns| {
        let arm = BlindArm {
            arm: "arm-1".to_owned(),
            in_situ: Some(found(in_situ_ns, 1.0)),
            macro_: Some(found(macro_ns, 50.0)),
            macro_load_ns: 0,
        };
        delay_found(&arm, injected_ns)
    };
    assert!(at(500, 559.0, 500.0).holds);
    assert!(!at(500, 561.0, 500.0).holds);
    assert!(at(100_000, 102_900.0, 97_100.0).holds);
    assert!(!at(100_000, 103_100.0, 100_000.0).holds);
    // The interval reaches 50 ns to each side, the tolerance 300 ns.
    assert!(at(500, 500.0, 849.0).holds && at(500, 500.0, 151.0).holds);
    assert!(!at(500, 500.0, 851.0).holds && !at(500, 500.0, 149.0).holds);
    assert!(at(500, 500.0, 51.0).macro_detects && !at(500, 500.0, 49.0).macro_detects);
}

#[test]
fn what_is_detectable_goes_by_the_standard_error() {
    // With many blocks a half-width of 196 ns is a standard error of 100 ns; 1.96 + 0.84 of them.
    let found = detectable(&found(0.0, 196.0), 3_000_000_000).unwrap();
    assert!((found.ns - 280.0).abs() < 1.0, "{}", found.ns);
    assert!((found.load_seconds - 3.0).abs() < 1e-9);
}

use super::*;

fn order(kind: Kind) -> Order {
    Order { kind, servers: 1 }
}

#[test]
fn of_several_servers_the_pair_is_the_unit() {
    // Three pairs of servers; the second pair differs by 9 for as long as it lives, and 20 rounds
    // of each would make that look certain.
    let control: Vec<Option<f64>> = (0..60)
        .map(|round| Some(100.0 + f64::from(round)))
        .collect();
    let own = |round: u32| if round % 3 == 1 { 9.0 } else { 0.0 };
    let treatment: Vec<Option<f64>> = (0..60)
        .map(|round| Some(100.0 + f64::from(round) + own(round)))
        .collect();
    let rounds_of_three = Order {
        kind: Kind::Rmit,
        servers: 3,
    };
    let found = rounds_of_three.difference(&control, &treatment).unwrap();
    assert_eq!((found.estimate, found.blocks), (3.0, 3));
    assert!(found.contains(0.0));
    let blocks = order(Kind::Rmit).difference(&control, &treatment).unwrap();
    assert!(!blocks.contains(0.0));
    assert!(rounds_of_three.method().contains("3 pairs of servers"));
    let sequential = Order {
        kind: Kind::Sequential,
        servers: 3,
    };
    let found = sequential.difference(&control, &treatment).unwrap();
    assert_eq!(found.blocks, 3);
}

fn rounds(values: &[f64]) -> Vec<Option<f64>> {
    values.iter().copied().map(Some).collect()
}

#[test]
fn in_a_duet_a_slower_side_is_in_neither_estimate_nor_interval() {
    // The treatment costs 3 more; side B costs 50 more, and the arms swap sides each round. What
    // disturbs a pair disturbs both.
    let disturbance = [0.0, 7.0, 1.0, 90.0, 4.0, 2.0];
    let side = |round: usize, swapped: bool| {
        if (round % 2 == 1) == swapped {
            0.0
        } else {
            50.0
        }
    };
    let of = |cost: f64, swapped: bool| -> Vec<Option<f64>> {
        let at = |(round, extra)| Some(100.0 + cost + extra + side(round, swapped));
        disturbance.iter().copied().enumerate().map(at).collect()
    };
    let (control, treatment) = (of(0.0, false), of(3.0, true));
    let found = order(Kind::Duet).difference(&control, &treatment).unwrap();
    assert!((found.estimate - 3.0).abs() < 1e-9 && found.half_width() < 1e-9);
    assert_eq!(found.blocks, 3);
    // Taken round by round the side would drown it.
    let naive = order(Kind::Rmit).difference(&control, &treatment).unwrap();
    assert!(naive.half_width() > 50.0);
    let rest = order(Kind::Duet)
        .location_less(&control, &treatment, &rounds(&[2.0; 6]))
        .unwrap();
    assert!((rest.estimate - 1.0).abs() < 1e-9);
}

#[test]
fn without_pairs_the_rounds_do_not_matter() {
    let control = rounds(&[1.0, 2.0, 3.0, 4.0]);
    let treatment = rounds(&[14.0, 11.0, 13.0, 12.0]);
    let mut other_way = treatment.clone();
    other_way.reverse();
    let found = order(Kind::Sequential).difference(&control, &treatment);
    assert_eq!(
        found,
        order(Kind::Sequential).difference(&control, &other_way)
    );
    let found = found.unwrap();
    assert!((found.estimate - 10.0).abs() < 1e-9 && found.half_width() > 1.0);
    let less = order(Kind::Sequential)
        .location_less(&control, &treatment, &rounds(&[9.0, 11.0]))
        .unwrap();
    let less = less.interval().unwrap();
    assert!((less.estimate).abs() < 1e-9 && less.half_width() > found.half_width());
}

#[test]
fn a_missing_block_costs_its_unit() {
    let control = [Some(1.0), None, Some(1.0), Some(1.0), Some(1.0), Some(1.0)];
    let treatment = rounds(&[2.0, 9.0, 2.0, 2.0, 2.0, 2.0]);
    let duet = order(Kind::Duet).difference(&control, &treatment).unwrap();
    assert_eq!((duet.estimate, duet.blocks), (1.0, 2));
    assert_eq!(
        order(Kind::Rmit)
            .difference(&control, &treatment)
            .unwrap()
            .blocks,
        5
    );
}

/// Sixteen pairs of servers with twelve rounds each. Five rounds in a row of each hundred are off by a thousand times the noise, and one
/// pair of servers always is.
#[test]
fn bad_blocks_in_a_row_and_a_bad_server_move_nothing() {
    let noise = |round: usize| f64::from(u8::try_from(round * 37 % 11).unwrap()) - 5.0;
    let bad = |round: usize| round % 100 < 5 || round % 16 == 9;
    let control = vec![Some(10_000.0); 192];
    let treatment = |wild: f64| -> Vec<Option<f64>> {
        let of = |round| 10_100.0 + noise(round) + if bad(round) { wild } else { 0.0 };
        (0..192).map(|round| Some(of(round))).collect()
    };
    let servers = Order::new(Kind::Rmit, 16);
    let [calm, wild] = [0.0, 4_000.0].map(|wild| {
        let found = servers.difference(&control, &treatment(wild));
        found.unwrap()
    });
    assert!(
        (wild.estimate - calm.estimate).abs() < 1.0,
        "{wild:?} {calm:?}"
    );
    assert!(wild.half_width() < 3.0, "{wild:?}");
    let mean = servers.mean(&control, &treatment(4_000.0)).unwrap();
    assert!(
        mean.estimate > 400.0,
        "of which no mean can be said: {mean:?}"
    );
}

/// In a duet servers change after two rounds. Four of them differ by 100 and nothing else does: that is all that the interval knows.
#[test]
fn the_level_of_a_duet_knows_its_servers() {
    let level: Vec<Option<f64>> = (0..32)
        .map(|round| Some(100.0 * f64::from(round / 2 % 4)))
        .collect();
    let found = Order::new(Kind::Duet, 4).level(&level).unwrap();
    let servers = stats::mean_interval(&[0.0, 100.0, 200.0, 300.0]).unwrap();
    assert!((found.estimate - 150.0).abs() < 1e-9);
    assert!(
        found.half_width() > 0.9 * servers.half_width(),
        "{found:?} {servers:?}"
    );
}

use super::*;
use crate::moments::quantile;
use crate::ranks::cliffs_delta;

fn arm(offset: f64) -> Blocks {
    // Blocks of different sizes with ties within and between them.
    let values = |block: u32| (0..20 + block).map(move |i| f64::from(i * 7 % 13 + block % 3));
    let block = |block| {
        values(block)
            .map(|value| value + offset)
            .collect::<Vec<_>>()
    };
    Blocks::new((0..12).map(|number| Counted::of(&block(number))))
}

fn written_out(counted: &Counted) -> Vec<f64> {
    let counts = counted.counts();
    counts
        .flat_map(|(value, count)| vec![value; count])
        .collect()
}

#[test]
fn the_quantile_of_a_draw_is_that_of_its_values_written_out() {
    let arm = arm(0.0);
    let mut urn = Urn::new(arm.count(), &Plan::default());
    for q in [0.0, 0.25, 0.5, 0.9, 0.999, 1.0] {
        for _ in 0..20 {
            let times = urn.draw().to_vec();
            let written_out: Vec<f64> = times
                .iter()
                .zip(&arm.blocks)
                .flat_map(|(times, block)| written_out(block).repeat(*times))
                .collect();
            let expected = quantile(&written_out, q).unwrap();
            let found = arm.quantile(&times, q).unwrap();
            assert!((found - expected).abs() < 1e-12, "{q}: {found} {expected}");
        }
    }
}

#[test]
fn a_shift_common_to_all_values_is_exact_when_rounds_are_drawn_together() {
    let plan = Plan {
        resamples: 200,
        ..Plan::default()
    };
    let (control, treatment) = (arm(0.0), arm(2.5));
    let shifts = quantile_shifts(&control, &treatment, &[0.5, 0.9], Pairing::Rounds, &plan);
    for shift in shifts {
        let shift = shift.unwrap();
        assert_eq!((shift.estimate, shift.ci95), (2.5, [2.5, 2.5]));
    }
    let apart = quantile_shifts(&control, &treatment, &[0.5], Pairing::Apart, &plan);
    let apart = apart[0].unwrap();
    assert!(apart.contains(2.5) && apart.half_width() > 0.0);
}

#[test]
fn the_delta_of_blocks_is_that_of_their_values() {
    let (control, treatment) = (arm(0.0), arm(1.0));
    let plan = Plan::default();
    let interval = cliffs_delta_interval(&control, &treatment, Pairing::Apart, &plan).unwrap();
    let [before, after] = [&control, &treatment].map(|arm| written_out(arm.values()));
    let expected = cliffs_delta(&before, &after).unwrap();
    assert!((interval.estimate - expected).abs() < 1e-12);
    assert!(interval.contains(expected));
}

#[test]
fn draws_are_as_many_as_blocks_whatever_the_run() {
    for run in [1, 3, 5, 12, 40] {
        let plan = Plan {
            run,
            ..Plan::default()
        };
        let mut urn = Urn::new(12, &plan);
        assert_eq!(urn.draw().iter().sum::<usize>(), 12);
    }
}

#[test]
fn few_blocks_and_few_runs_have_no_interval() {
    let few = Blocks::new((0..4).map(|block| Counted::of(&[f64::from(block); 3])));
    assert_eq!(quantile_interval(&few, 0.5, &Plan::default()), None);
    let plan = Plan {
        run: 3,
        ..Plan::default()
    };
    assert_eq!(quantile_interval(&arm(0.0), 0.5, &plan), None);
    assert!(quantile_interval(&arm(0.0), 0.5, &Plan::default()).is_some());
    let none = Blocks::new([]);
    assert_eq!(quantile_interval(&none, 0.5, &plan), None);
}

use super::{Slice, Slices};
use crate::trial::Trial;

extern crate std;
use std::collections::{BTreeMap, HashMap};
use std::vec::Vec;

const SLICE_NS: u64 = 10_000_000;

fn slices(seed: u64) -> Slices {
    let text = std::format!("seed={seed} size=256 slice={SLICE_NS} arms=off,null,on,on+1000");
    Slices::of(&Trial::parse(text.as_bytes()).unwrap()).unwrap()
}

fn length_ns(slice: &Slice) -> u64 {
    slice.end_ns - slice.begin_ns
}

/// All slices of so many turns, one after the other.
fn all(slices: &Slices, turns: u64) -> Vec<Slice> {
    let first_ns = 1_000 * slices.turn_ns();
    let mut found = Vec::new();
    let mut now_ns = first_ns;
    while now_ns < first_ns + turns * slices.turn_ns() {
        let slice = slices.at(now_ns);
        now_ns = slice.end_ns;
        found.push(slice);
    }
    found
}

#[test]
fn each_round_has_each_arm_once_and_each_turn_both_lengths() {
    for seed in [0, 1, u64::MAX] {
        let slices = slices(seed);
        let mut rounds = BTreeMap::<u64, Vec<Slice>>::new();
        for slice in all(&slices, 200) {
            rounds.entry(slice.round).or_default().push(slice);
        }
        assert_eq!(rounds.len(), 400);
        for (round, of) in &rounds {
            let mut arms: Vec<usize> = of.iter().map(|slice| slice.arm).collect();
            arms.sort_unstable();
            assert_eq!(arms, [0, 1, 2, 3], "round {round}");
            let bounds_ns = [of[0].begin_ns, of[3].end_ns];
            assert_eq!(slices.bounds_ns(*round), bounds_ns);
            assert!(of.iter().all(|slice| length_ns(slice) == length_ns(&of[0])));
            let other = &rounds[&(round ^ 1)];
            let both = length_ns(&of[0]) + length_ns(&other[0]);
            assert_eq!(both, 3 * SLICE_NS);
        }
    }
}

#[test]
fn slices_lie_end_to_end_and_hold_every_instant() {
    let slices = slices(7);
    let found = all(&slices, 20);
    assert!(
        found
            .windows(2)
            .all(|pair| pair[0].end_ns == pair[1].begin_ns)
    );
    for slice in found {
        for now_ns in [slice.begin_ns, slice.begin_ns + 1, slice.end_ns - 1] {
            assert_eq!(slices.at(now_ns), slice);
        }
        // Whoever looks once a unit misses no change.
        let units = slices.unit(slice.begin_ns)..slices.unit(slice.end_ns);
        assert!(
            units
                .clone()
                .all(|unit| slices.at(unit * SLICE_NS).arm == slice.arm)
        );
    }
}

/// By a chi-squared statistic: its 99.9 % quantile for 23 degrees of freedom is 49.7.
#[test]
fn all_orders_are_drawn_alike_and_so_are_the_lengths() {
    for seed in [0, 1, u64::MAX] {
        let mut orders = HashMap::<Vec<usize>, u32>::new();
        let mut short_first = 0;
        let turns = 2_400;
        let found = all(&slices(seed), turns);
        for round in found.chunks(4) {
            let order = round.iter().map(|slice| slice.arm).collect();
            *orders.entry(order).or_insert(0) += 1;
            let is_first = round[0].round.is_multiple_of(2);
            short_first += u32::from(is_first && length_ns(&round[0]) == SLICE_NS);
        }
        assert_eq!(orders.len(), 24);
        let expected = 2.0 * turns as f64 / 24.0;
        let chi_squared: f64 = orders
            .values()
            .map(|count| (f64::from(*count) - expected).powi(2) / expected)
            .sum();
        assert!(chi_squared < 49.7, "seed {seed}: {chi_squared}");
        // Within four standard deviations of a fair coin.
        assert!(short_first.abs_diff(1_200) < 98, "{short_first}");
    }
}

#[test]
fn another_seed_cuts_otherwise() {
    let arms = |seed| -> Vec<usize> {
        let found = all(&slices(seed), 20);
        found.iter().map(|slice| slice.arm).collect()
    };
    assert_ne!(arms(1), arms(2));
    let by_request = Trial::parse(b"seed=1 size=256 arms=off,on").unwrap();
    assert_eq!(Slices::of(&by_request), None);
}

use std::collections::BTreeSet;

use super::*;

/// The delays of the arms by their numbers.
fn delays(trial: &Trial) -> Vec<u64> {
    let delays = trial.arms().iter().map(|arm| arm.delay_ns());
    delays.filter(|delay_ns| *delay_ns > 0).collect()
}

#[test]
fn numbers_of_arms_do_not_tell_the_delays() {
    let asked = [500, 1_000, 2_000, 5_000];
    let drawn: Vec<Vec<u64>> = (0..20)
        .map(|seed| delays(&shuffled(seed, "/", &asked).unwrap()))
        .collect();
    for of_seed in &drawn {
        let mut sorted = of_seed.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, asked);
    }
    let firsts: BTreeSet<u64> = drawn.iter().map(|of_seed| of_seed[0]).collect();
    assert_eq!(firsts.len(), asked.len(), "{drawn:?}");
}

#[test]
fn a_trial_has_room_for_the_usual_delays_and_more() {
    let many: Vec<u64> = (1..=13).collect();
    assert_eq!(delays(&shuffled(1, "/", &many).unwrap()).len(), 13);
    let error = shuffled(1, "/", &[many, vec![14]].concat()).unwrap_err();
    assert!(error.to_string().contains("--delays"), "{error:#}");
}

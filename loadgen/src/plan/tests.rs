use std::collections::BTreeMap;

use super::*;

const DESIGN: Design = Design {
    arms: 3,
    observe: true,
    requests: Some(103),
    time_ns: None,
    blocks: 10,
    servers: 3,
    warmup: 25,
    block_warmup: 2,
    order: Order::Rmit,
    seed: 1,
};

fn of_cell(blocks: &[Block], arm: u16, observed: bool) -> Vec<Block> {
    let is_cell = |block: &&Block| (block.arm, block.observed) == (arm, observed);
    blocks.iter().filter(is_cell).copied().collect()
}

#[test]
fn every_cell_gets_its_requests_and_warmup() {
    for order in [Order::Rmit, Order::Sequential] {
        let blocks = Design { order, ..DESIGN }.blocks();
        assert_eq!(blocks.len(), 60);
        for arm in 0..3 {
            for observed in [false, true] {
                let cell = of_cell(&blocks, arm, observed);
                let sizes: Vec<u64> = cell.iter().map(|block| block.requests).collect();
                assert_eq!(sizes, [11, 11, 11, 10, 10, 10, 10, 10, 10, 10]);
                let warmup: Vec<u64> = cell.iter().map(|block| block.warmup).collect();
                assert_eq!(warmup, [11, 11, 3, 2, 2, 2, 2, 2, 2, 2]);
                let servers: Vec<usize> = cell.iter().map(|block| block.server).collect();
                assert_eq!(servers, [0, 1, 2, 0, 1, 2, 0, 1, 2, 0]);
            }
        }
    }
}

#[test]
fn in_a_trial_each_server_is_warmed_up() {
    let design = Design {
        order: Order::Trial,
        arms: 1,
        ..DESIGN
    };
    let warmup: Vec<u64> = of_cell(&design.blocks(), 0, false)
        .iter()
        .map(|block| block.warmup)
        .collect();
    // 25 among three servers, and then the first two of each block.
    assert_eq!(warmup, [9, 9, 9, 2, 2, 2, 2, 2, 2, 2]);
}

#[test]
fn rmit_gives_each_round_every_cell_once_in_changing_order() {
    let blocks = DESIGN.blocks();
    let rounds: Vec<Vec<(u16, bool)>> = blocks
        .chunks(6)
        .map(|round| {
            round
                .iter()
                .map(|block| (block.arm, block.observed))
                .collect()
        })
        .collect();
    for round in &rounds {
        let mut sorted = round.clone();
        sorted.sort_unstable();
        sorted.dedup();
        assert_eq!(sorted.len(), 6);
    }
    assert!(rounds.windows(2).any(|pair| pair[0] != pair[1]));
    // The probes change state at most once within a round.
    let changes = |round: &[(u16, bool)]| round.windows(2).filter(|w| w[0].1 != w[1].1).count();
    assert!(rounds.iter().all(|round| changes(round) == 1));
    assert!(rounds.iter().any(|round| round[0].1) && rounds.iter().any(|round| !round[0].1));
    assert_eq!(blocks, DESIGN.blocks(), "the seed decides");
    assert_ne!(blocks, Design { seed: 2, ..DESIGN }.blocks());
}

#[test]
fn sequential_finishes_an_arm_before_the_next() {
    let blocks = Design {
        order: Order::Sequential,
        ..DESIGN
    }
    .blocks();
    assert!(blocks.is_sorted_by_key(|block| block.arm));
}

#[test]
fn a_duet_sets_the_first_arm_beside_each_other_and_changes_sides() {
    let blocks = Design {
        order: Order::Duet,
        ..DESIGN
    }
    .blocks();
    // Two pairs, two states, ten rounds, two blocks.
    assert_eq!(blocks.len(), 80);
    let mut firsts: BTreeMap<(u16, bool), Vec<bool>> = BTreeMap::new();
    for pair in blocks.chunks(2) {
        let (left, right) = (pair[0], pair[1]);
        assert_eq!(left.observed, right.observed);
        assert_eq!((left.requests, left.warmup), (right.requests, right.warmup));
        assert_eq!((left.arm.min(right.arm), left.server), (0, right.server));
        let key = (left.arm.max(right.arm), left.observed);
        firsts.entry(key).or_default().push(left.arm == 0);
    }
    let pairs: Vec<(u16, bool)> = firsts.keys().copied().collect();
    assert_eq!(pairs, [(1, false), (1, true), (2, false), (2, true)]);
    for sides in firsts.values() {
        assert_eq!(sides.len(), 10);
        assert!(sides.chunks(2).all(|two| two[0] != two[1]), "{sides:?}");
    }
    let starts = firsts.values().flat_map(|sides| sides.iter().step_by(2));
    assert!(starts.clone().any(|first| *first) && starts.clone().any(|first| !*first));
    // A round is over before the next begins.
    for round in blocks.chunks(8) {
        let mut pairs: Vec<_> = round
            .chunks(2)
            .map(|pair| (pair[0].arm.max(pair[1].arm), pair[0].observed))
            .collect();
        pairs.sort_unstable();
        pairs.dedup();
        assert_eq!(pairs.len(), 4);
    }
}

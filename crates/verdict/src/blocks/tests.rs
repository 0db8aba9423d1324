use runlog::table::TableWriter;

use super::*;

#[test]
fn blocks_become_means_by_cell_and_round() {
    let folder = tempfile::tempdir().unwrap();
    let run = RunDirectory::create(folder.path().join("run")).unwrap();
    let mut writer = TableWriter::create(run.requests()).unwrap();
    // Block 0 and 2 are of arm 0, block 1 of arm 1 observed; block 3 was cut off.
    for (block, arm, flags, times) in [
        (0_u32, 0_u16, 0_u16, &[10_u64, 20, 30][..]),
        (1, 1, Request::OBSERVED, &[7, 7, 7]),
        (2, 0, 0, &[1, 2, 3]),
        (3, 1, Request::OBSERVED, &[9]),
    ] {
        for (index, time) in times.iter().enumerate() {
            let warmup = if index == 0 { Request::WARMUP } else { 0 };
            writer
                .push(&Request {
                    block,
                    arm,
                    flags: flags | warmup,
                    sent_ns: 1_000,
                    done_ns: 1_000 + time,
                    ..Request::default()
                })
                .unwrap();
        }
    }
    writer.finish().unwrap();
    let means = BlockMeans::read(&run, f64::INFINITY, &schedule(runlog::Order::Rmit, 3)).unwrap();
    let cell = |arm, observed| means.bodies_ns(Cell { arm, observed });
    assert_eq!(cell(0, false), [Some(25.0), Some(2.5)]);
    assert_eq!(cell(1, true), [Some(7.0), None]);
    assert!(cell(1, false).is_empty());
    let rounds = (means.round_of(2), means.round_of(3));
    assert_eq!(rounds, (Some((1, None)), None));
}

/// A run that time ends, so that the schedule has no number of requests: the first block is warm-up, the second is
/// so in part, the last was cut off.
#[test]
fn blocks_count_that_are_half_as_long_as_the_longest() {
    let folder = tempfile::tempdir().unwrap();
    let run = RunDirectory::create(folder.path().join("run")).unwrap();
    let mut writer = TableWriter::create(run.requests()).unwrap();
    for (block, warmup, length) in [(0, 8, 8), (1, 5, 8), (2, 0, 8), (3, 0, 4), (4, 0, 3)] {
        for number in 0..length {
            let request = Request {
                block,
                flags: if number < warmup { Request::WARMUP } else { 0 },
                sent_ns: 100 * number,
                done_ns: 100 * number + 10 * u64::from(block) + number,
                ..Request::default()
            };
            writer.push(&request).unwrap();
        }
    }
    writer.finish().unwrap();
    let reading = Reading {
        threshold_ns: f64::INFINITY,
        with_warmup: false,
        with_times: true,
    };
    let read = |reading| Blocks::read(&run, &schedule(runlog::Order::Rmit, 0), reading).unwrap();
    let blocks = read(reading).blocks;
    let values: Vec<_> = blocks.iter().map(body_ns).collect();
    assert_eq!(values, [None, None, Some(23.5), Some(31.5), None]);
    let drawn: Vec<_> = blocks.iter().map(Block::drawn_ns).collect();
    assert_eq!(drawn, [Some(3.5), None, Some(23.5), Some(31.5), None]);
    assert_eq!(blocks[1].times_ns, [15, 16, 17]);
    let with_warmup = read(Reading {
        with_warmup: true,
        ..reading
    });
    let values = with_warmup.blocks.iter().map(body_ns);
    let expected = [Some(3.5), Some(13.5), Some(23.5), Some(31.5), None];
    assert_eq!(values.collect::<Vec<_>>(), expected);
}

/// Twenty requests each of arm 0 and arm 1 at once, 10 ns apart; those of arm 1 take 4 ns, and it goes
/// on for another twenty, which take 1 ns. Then a block that lost its neighbour.
#[test]
fn of_two_blocks_at_once_what_they_have_in_common_counts() {
    let folder = tempfile::tempdir().unwrap();
    let run = RunDirectory::create(folder.path().join("run")).unwrap();
    let mut writer = TableWriter::create(run.requests()).unwrap();
    let mut push = |block, arm, number: u64, took_ns| {
        let request = Request {
            block,
            arm,
            sent_ns: 1_000 + 10 * number,
            done_ns: 1_000 + 10 * number + took_ns,
            ..Request::default()
        };
        writer.push(&request).unwrap();
    };
    for number in 0..20 {
        push(0, 0, number, 6);
    }
    for number in 0..40 {
        push(1, 1, number, if number < 20 { 4 } else { 1 });
    }
    for number in 100..120 {
        push(2, 1, number, 4);
    }
    writer.finish().unwrap();
    let means = BlockMeans::read(&run, f64::INFINITY, &schedule(runlog::Order::Duet, 20)).unwrap();
    let against = |arm, other| {
        let observed = false;
        let values = means.against(Cell { arm, observed }, other);
        crate::effect::part(values, Value::body)
    };
    assert_eq!(against(0, 1), [Some(6.0)]);
    assert_eq!(against(1, 0), [Some(4.0)]);
    assert!(against(0, 2).is_empty());
    assert_eq!(means.round_of(1), Some((0, Some(0))));
    let all = means.bodies_ns(Cell {
        arm: 1,
        observed: false,
    });
    assert_eq!(
        all,
        [Some(4.0)],
        "the one that lost its neighbour is left out"
    );
    assert_eq!((means.round_of(2), means.requests[&1].sent), (None, 60));
}

/// Blocks 0, 1 and 3 without probes, block 2 with; block 1 has no request of arm 1.
#[test]
fn a_block_of_a_trial_has_a_mean_of_each_arm_in_its_round() {
    let folder = tempfile::tempdir().unwrap();
    let run = RunDirectory::create(folder.path().join("run")).unwrap();
    let mut writer = TableWriter::create(run.requests()).unwrap();
    for (block, observed, arms) in [
        (0, 0, [0, 1]),
        (1, 0, [0, 0]),
        (2, 1, [1, 0]),
        (3, 0, [1, 0]),
    ] {
        for (number, arm) in arms.into_iter().enumerate() {
            let request = Request {
                block,
                arm,
                flags: observed * Request::OBSERVED,
                sent_ns: 100 * number as u64,
                done_ns: 100 * number as u64 + 10 * u64::from(block) + u64::from(arm),
                ..Request::default()
            };
            writer.push(&request).unwrap();
        }
    }
    writer.finish().unwrap();
    let mut schedule = schedule(runlog::Order::Trial, 1);
    schedule.trial = Some("seed=1 size=64 arms=off,on".to_owned());
    let means = BlockMeans::read(&run, f64::INFINITY, &schedule).unwrap();
    let of = |arm, observed| means.bodies_ns(Cell { arm, observed });
    assert_eq!(of(0, false), [Some(0.0), Some(10.0), Some(30.0)]);
    assert_eq!(of(1, false), [Some(1.0), None, Some(31.0)]);
    assert_eq!(
        (of(0, true), of(1, true)),
        (vec![Some(20.0)], vec![Some(21.0)])
    );
    assert_eq!(means.round_of(3), Some((2, None)));
    assert_eq!((means.requests[&0].sent, means.requests[&1].sent), (5, 3));
}

fn body_ns(block: &Block) -> Option<f64> {
    Some(block.value()?.body())
}

/// One request in five takes 20 ns more, and one in ten is above the threshold: none of it is lost, and both together are the mean.
#[test]
fn a_value_has_what_few_requests_take_in_its_parts() {
    let mut times_ns: Vec<u64> = [100, 100, 120, 100, 100, 100, 120, 100, 100, 900].to_vec();
    times_ns.rotate_left(3);
    let found = value(&times_ns, 400.0).unwrap();
    assert!((found.body() - (7.0 * 100.0 + 2.0 * 120.0 + 400.0) / 10.0).abs() < 1e-9);
    assert!(
        (found.split.tail - 50.0).abs() < 1e-9,
        "500 above, in one of ten"
    );
    assert!((found.split.share_above - 0.1).abs() < 1e-9);
    // Seven of ten at 100, which stand for 90 to 110.
    assert!((found.median - (90.0 + 20.0 * 5.0 / 7.0)).abs() < 1e-9);
}

fn schedule(order: runlog::Order, requests_per_block: u64) -> Schedule {
    Schedule {
        order,
        seed: 1,
        connections: 1,
        requests_per_cell: requests_per_block,
        blocks_per_cell: 1,
        servers_per_arm: 1,
        warmup_requests: 0,
        block_warmup_requests: 0,
        trial: None,
    }
}

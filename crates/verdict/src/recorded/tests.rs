use super::*;

fn arm(lengths: &[u32]) -> RecordedArm {
    let mut next = 0_u32;
    let mut block = |length: &u32| {
        let values_ns = (next..next + length).map(f64::from).collect();
        next += length;
        Block {
            round: 0,
            values_ns,
        }
    };
    RecordedArm {
        name: "arm".to_owned(),
        source: String::new(),
        blocks: lengths.iter().map(&mut block).collect(),
        origin: Origin::Csv,
        left_out: BTreeMap::new(),
        notes: Vec::new(),
    }
}

#[test]
fn the_first_values_are_left_out_across_blocks_and_counted() {
    let mut arm = arm(&[3, 2, 4]);
    arm.leave_out_first(4);
    assert_eq!(arm.values_ns(), [4.0, 5.0, 6.0, 7.0, 8.0]);
    assert_eq!((arm.blocks.len(), arm.left_out["warm-up"]), (2, 4));
    arm.leave_out_first(99);
    assert_eq!((arm.count(), arm.left_out["warm-up"]), (0, 9));
}

#[test]
fn the_blocks_of_a_server_are_taken_together() {
    let mut arm = arm(&[2, 2, 2, 2, 2]);
    for (block, round) in arm.blocks.iter_mut().zip(0..) {
        block.round = round;
    }
    arm.join_blocks_of_servers();
    assert_eq!(arm.blocks.len(), 5, "a CSV has no servers");
    arm.origin = Origin::Run {
        folder: PathBuf::new(),
        rounds: true,
        servers: 2,
    };
    arm.join_blocks_of_servers();
    assert_eq!(arm.blocks[0].values_ns, [0.0, 1.0, 4.0, 5.0, 8.0, 9.0]);
    assert_eq!(arm.blocks[1].values_ns, [2.0, 3.0, 6.0, 7.0]);
}

#[test]
fn cutting_keeps_every_value_in_order() {
    let mut arm = arm(&[11]);
    arm.cut(4);
    let lengths: Vec<usize> = arm.blocks.iter().map(|b| b.values_ns.len()).collect();
    assert_eq!(lengths, [2, 3, 3, 3]);
    assert_eq!(arm.values_ns(), (0..11).map(f64::from).collect::<Vec<_>>());
}

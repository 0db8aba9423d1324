use super::*;
use runlog::Order;

fn design(order: Order, requests: Option<u64>) -> Design {
    Design {
        arms: 2,
        observe: false,
        requests,
        time_ns: Some(4_000),
        blocks: 2,
        servers: 1,
        warmup: 25,
        block_warmup: 5,
        order,
        seed: 1,
    }
}

#[test]
fn blocks_of_known_size_have_consecutive_numbers() {
    let design = design(Order::Duet, Some(41));
    let mut numbering = Numbering::new(&design);
    let mut firsts = Vec::new();
    for turn in design.blocks().chunks(2) {
        let numbered = numbering.number(turn);
        firsts.extend(
            numbered
                .iter()
                .map(|n| (n.number, n.first_sequence, n.step)),
        );
        numbering.note(turn, &[21, 10]);
    }
    assert_eq!(firsts, [(0, 0, 1), (1, 21, 1), (2, 42, 1), (3, 62, 1)]);
}

#[test]
fn blocks_of_unknown_size_go_on_behind_what_was_sent() {
    let design = design(Order::Sequential, None);
    let mut numbering = Numbering::new(&design);
    let mut seen = Vec::new();
    for (turn, sent) in design.blocks().chunks(1).zip([10, 100, 7, 7]) {
        let numbered = numbering.number(turn)[0];
        seen.push((numbered.first_sequence, numbered.block.warmup));
        assert_eq!(numbered.block.time_ns, Some(2_000));
        numbering.note(turn, &[sent]);
    }
    assert_eq!(seen, [(0, 25), (10, 15), (110, 25), (117, 18)]);
}

#[test]
fn blocks_at_once_of_unknown_size_share_no_number() {
    let design = design(Order::Duet, None);
    let mut numbering = Numbering::new(&design);
    let mut seen = Vec::new();
    for turn in design.blocks().chunks(2) {
        let numbered = numbering.number(turn);
        let sent = [3, 40];
        for (
            Numbered {
                first_sequence,
                step,
                ..
            },
            sent,
        ) in numbered.iter().zip(sent)
        {
            seen.extend((0..sent).map(|index| first_sequence + step * index));
        }
        numbering.note(turn, &sent);
    }
    let count = seen.len();
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen.len(), count);
}

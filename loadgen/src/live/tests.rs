use runlog::record::Outcome;

use super::*;

fn request(arm: u16, outcome: Outcome, took_ns: u64) -> Request {
    Request {
        arm,
        outcome: outcome as u8,
        sent_ns: 1_000,
        planned_ns: 1_000,
        done_ns: 1_000 + took_ns,
        ..Request::default()
    }
}

#[test]
fn an_interval_has_what_was_counted_since_the_last_and_no_more() {
    let arms = Arc::new(vec![Mutex::default(), Mutex::default()]);
    let live = Live {
        arms: Arc::clone(&arms),
        reporter: None,
    };
    let names = ["a".to_owned(), "b".to_owned()];
    let mut intervals = Intervals::starting_now();
    let block = live.begin_block(1..2);
    for took_ns in [100, 100, 100, 3_000] {
        block.count(&request(1, Outcome::Ok, took_ns));
    }
    block.count(&request(1, Outcome::TimedOutUnanswered, 9_000_000));
    let progress = intervals.next(&names, &arms);
    let [a, b] = &progress.arms[..] else {
        panic!("{progress:?}")
    };
    assert_eq!((a.requests, a.active_ns), (0, 0));
    assert_eq!((a.requests_per_second, a.p50_ns), (None, None));
    assert_eq!((b.requests, b.errors, b.p50_ns), (5, 1, Some(100)));
    assert!(b.p99_ns.unwrap().abs_diff(3_000) <= 3_000 / 128, "{b:?}");
    let successes = b.requests_per_second.unwrap() * b.active_ns as f64 / 1e9;
    assert!((successes - 4.0).abs() < 1e-6 && b.active_ns <= progress.interval_ns);

    // The block goes on, and ends.
    block.count(&request(1, Outcome::Ok, 200));
    drop(block);
    let progress = intervals.next(&names, &arms);
    assert_eq!((progress.arms[1].requests, progress.arms[1].errors), (1, 0));
    assert!(progress.arms[1].active_ns > 0);
    let progress = intervals.next(&names, &arms);
    assert_eq!(
        (progress.arms[1].requests, progress.arms[1].active_ns),
        (0, 0)
    );
}

#[test]
fn arms_of_one_block_are_counted_apart() {
    let arms: Arc<Vec<_>> = Arc::new((0..3).map(|_| Mutex::default()).collect());
    let live = Live {
        arms: Arc::clone(&arms),
        reporter: None,
    };
    let names = ["off", "null", "on"].map(str::to_owned);
    let mut intervals = Intervals::starting_now();
    let block = live.begin_block(0..3);
    for arm in [0, 1, 2, 2] {
        block.count(&request(arm, Outcome::Ok, 100));
    }
    drop(block);
    let progress = intervals.next(&names, &arms);
    let requests: Vec<u64> = progress.arms.iter().map(|arm| arm.requests).collect();
    assert_eq!(requests, [1, 1, 2]);
    assert!(progress.arms.iter().all(|arm| arm.active_ns > 0));
}

use runlog::table::{TableWriter, opened_by_this_thread};

use super::*;

/// Two blocks of arm 0 and, between them, one of arm 1. A response takes 1 to 4 µs.
fn log() -> (tempfile::TempDir, RunDirectory) {
    let folder = tempfile::tempdir().unwrap();
    let run = RunDirectory::create(folder.path().join("run")).unwrap();
    let mut writer = TableWriter::create(run.requests()).unwrap();
    for sequence in 0..12 {
        let block = u32::try_from(sequence / 4).unwrap();
        let sent_ns = 1_000_000 + 10_000 * sequence;
        writer
            .push(&Request {
                sequence,
                block,
                arm: u16::from(block == 1),
                flags: if sequence == 0 { Request::WARMUP } else { 0 },
                outcome: if sequence == 9 {
                    Outcome::ClosedUnanswered
                } else {
                    Outcome::Ok
                } as u8,
                planned_ns: sent_ns,
                sent_ns,
                done_ns: sent_ns + 1_000 * (1 + sequence % 4),
                ..Request::default()
            })
            .unwrap();
    }
    writer.finish().unwrap();
    (folder, run)
}

const START: Start = Start {
    unix_ns: 1_700_000_000_000_000_000,
    monotonic_ns: 1_000_000,
};

fn named(name: &str) -> NamedUrl {
    NamedUrl {
        name: name.to_owned(),
        url: "http://a".to_owned(),
    }
}

/// Exports the first arm alone.
fn export_first(run: &RunDirectory) -> ArmLoad {
    let arms = export(run, &[named("a")], &[ArmKept::default()], START);
    arms.unwrap().remove(0)
}

#[test]
fn the_log_is_read_once_for_all_arms() {
    let (_folder, run) = log();
    let before = opened_by_this_thread();
    let arms = ["a", "b"].map(named);
    export(&run, &arms, &vec![ArmKept::default(); 2], START).unwrap();
    assert_eq!(opened_by_this_thread() - before, 1);
}

#[test]
fn the_summary_counts_by_kind_and_leaves_the_warmup_out() {
    let (_folder, run) = log();
    let arm = export_first(&run);
    assert_eq!((arm.requests, arm.warmup_requests, arm.errors), (7, 1, 1));
    assert_eq!(
        arm.errors_by_kind,
        [("closed_unanswered".to_owned(), 1)].into()
    );
    let latency = arm.latency_ns.unwrap();
    // 2, 3, 4 µs of the first block and 1, 3, 4 µs of the second.
    assert!((latency.mean - 17_000.0 / 6.0).abs() < 1e-9);
    assert!(latency.max.abs_diff(4_000) <= 4_000 / 128);
    // From the second request's start to the fourth's end, and a whole block.
    let seconds = (24_000.0 + 34_000.0) / 1e9;
    assert!((arm.requests_per_second - 6.0 / seconds).abs() < 1e-6);
}

#[test]
fn the_csv_and_the_hdr_log_hold_the_arms_successes() {
    let (_folder, run) = log();
    export_first(&run);
    let csv = paper_csv::read(run.paper_csv("a")).unwrap();
    assert_eq!(csv.len(), 7, "warm-up included, as in the paper's files");
    assert!((csv[1].response_time_ms - 0.002).abs() < 1e-12);
    assert!((csv[1].start_time_s - 1_700_000_000.000_01).abs() < 1e-6);
    let intervals = interval_log::read(run.interval_log("a")).unwrap();
    let counts: Vec<u64> = intervals.iter().map(|i| i.histogram.len()).collect();
    assert_eq!(counts, [3, 3]);
}

/// Writes a log of one arm: a row a block, flags, outcome and response time each.
fn log_of(rows: &[(u32, u16, Outcome, u64)]) -> (tempfile::TempDir, RunDirectory) {
    let folder = tempfile::tempdir().unwrap();
    let run = RunDirectory::create(folder.path().join("run")).unwrap();
    let mut writer = TableWriter::create(run.requests()).unwrap();
    for (sequence, &(block, flags, outcome, took_ns)) in (0..).zip(rows) {
        let sent_ns = 1_000_000 * (1 + sequence);
        writer
            .push(&Request {
                sequence,
                block,
                flags,
                outcome: outcome as u8,
                planned_ns: sent_ns,
                sent_ns,
                done_ns: sent_ns + took_ns,
                ..Request::default()
            })
            .unwrap();
    }
    writer.finish().unwrap();
    (folder, run)
}

#[test]
fn requests_with_the_probes_attached_are_counted_and_left_out() {
    const OBSERVED: u16 = Request::OBSERVED;
    let (_folder, run) = log_of(&[
        (0, Request::WARMUP, Outcome::Ok, 1_000),
        (0, 0, Outcome::Ok, 1_000),
        (1, OBSERVED | Request::WARMUP, Outcome::Ok, 9_000),
        (1, OBSERVED, Outcome::Ok, 9_000),
        (1, OBSERVED, Outcome::ClosedUnanswered, 9_000),
        (2, 0, Outcome::Ok, 3_000),
    ]);
    let arm = export_first(&run);
    let counts = (arm.requests, arm.warmup_requests, arm.observed_requests);
    assert_eq!((counts, arm.errors), ((2, 1, 3), 0));
    assert!((arm.latency_ns.unwrap().mean - 2_000.0).abs() < 1e-9);
    assert!((arm.requests_per_second - 2.0 / 4e-6).abs() < 1e-3);
    assert_eq!(paper_csv::read(run.paper_csv("a")).unwrap().len(), 3);
    let intervals = interval_log::read(run.interval_log("a")).unwrap();
    let blocks: Vec<_> = intervals
        .iter()
        .map(|interval| (interval.histogram.len(), interval.histogram.max() < 4_000))
        .collect();
    assert_eq!(blocks, [(1, true), (1, true)]);
    let text = fs::read_to_string(run.interval_log("a")).unwrap();
    assert!(text.contains("probes attached are left out"), "{text}");
}

#[test]
fn unfinished_requests_are_errors_and_take_no_time() {
    let (_folder, run) = log_of(&[
        (0, 0, Outcome::Ok, 2_000),
        (0, 0, Outcome::Unfinished, 2_000_000_000),
    ]);
    let arm = export_first(&run);
    assert_eq!((arm.requests, arm.errors), (2, 1));
    assert_eq!(arm.errors_by_kind, [("unfinished".to_owned(), 1)].into());
    assert!((arm.requests_per_second - 1.0 / 2e-6).abs() < 1e-3);
}

#[test]
fn an_arm_without_a_success_has_no_latency() {
    let (_folder, run) = log();
    let arms = ["a", "b", "none"].map(named);
    let found = export(&run, &arms, &vec![ArmKept::default(); 3], START).unwrap();
    assert_eq!((found[1].requests, found[1].errors), (4, 0));
    assert_eq!((found[2].requests, &found[2].latency_ns), (0, &None));
    assert!(
        interval_log::read(run.interval_log("none"))
            .unwrap()
            .is_empty()
    );
}

use std::net::TcpListener;

use runlog::RunDirectory;
use runlog::record::Outcome;
use runlog::summary::Spacing;
use runlog::table::read_all;

use super::*;
use crate::request::RequestOptions;
use crate::target::Arm;

const SETTINGS: Settings = Settings {
    connections: 3,
    pipeline: 1,
    pacing: Pacing::CLOSED,
    timeout: Duration::from_mins(1),
    drain: Duration::ZERO,
    spin: false,
    seed: 0,
};

const BLOCK: Block = Block {
    arm: 0,
    observed: false,
    requests: 10,
    time_ns: None,
    warmup: 0,
    server: 0,
};

/// Runs a block against a server that never answers.
fn silence(
    settings: Settings,
    block: Block,
    stop: bool,
) -> (BlockReport, Vec<Request>, Vec<ClientConnection>) {
    let folder = tempfile::tempdir().unwrap();
    let run = RunDirectory::create(folder.path().join("run")).unwrap();
    let mut logs = Logs {
        requests: TableWriter::create(run.requests()).unwrap(),
        connections: TableWriter::create(run.client_connections()).unwrap(),
    };
    // Connections wait in its backlog, and nobody answers.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let arm: Arm = "a=http://a/".parse().unwrap();
    let mut target = ArmTarget {
        name: arm.name.clone(),
        arms: 0..1,
        address: silent.local_addr().unwrap(),
        requests: RequestOptions::default().requests(&arm, false, 0).unwrap(),
    };
    let stop = Arc::new(AtomicBool::new(stop));
    let mut client = Client::new(settings, stop, Arc::default()).unwrap();
    let numbered = Numbered {
        number: 0,
        first_sequence: 0,
        step: 1,
        block,
    };
    let report = client.run_block(&mut target, numbered, &mut logs, &mut |_| {});
    logs.requests.finish().unwrap();
    logs.connections.finish().unwrap();
    let requests = read_all(run.requests()).unwrap();
    let connections = read_all(run.client_connections()).unwrap();
    (report.unwrap(), requests, connections)
}

#[test]
fn a_cut_logs_the_requests_under_way() {
    let (report, requests, connections) = silence(SETTINGS, BLOCK, true);
    assert_eq!(report.end, Err(CutShort::Stopped));
    assert_eq!(report.requests, 3, "one a connection was sent");
    assert_eq!(requests.len(), 3);
    for request in &requests {
        assert_eq!(request.outcome, Outcome::Unfinished as u8);
        assert_eq!(
            request.done_ns, requests[0].done_ns,
            "the cut is one instant"
        );
        assert!(request.sent_ns < request.done_ns);
    }
    let sent: u64 = connections.iter().map(|row| row.sent_bytes).sum();
    let logged: u64 = requests.iter().map(|r| r.end_byte - r.first_byte).sum();
    assert_eq!(sent, logged);
}

#[test]
fn what_became_due_and_found_no_connection_is_logged_as_unsent() {
    let pacing = Pacing::Open {
        rate_per_second: 1_000.0,
        arrivals: Spacing::Constant,
        limit_ns: u64::MAX,
    };
    for pipeline in [1, 2] {
        let settings = Settings {
            pipeline,
            pacing,
            ..SETTINGS
        };
        let (report, requests, _) = silence(settings, BLOCK, false);
        assert_eq!((report.end, report.requests), (Ok(()), 10));
        let lateness = report.pacer.unwrap().lateness;
        let sent = 3 * pipeline as u64;
        let counts = (lateness.planned(), lateness.queued, lateness.unsent);
        assert_eq!(counts, (10, 10 - sent, 10 - sent));
        let sequences: Vec<u64> = requests.iter().map(|request| request.sequence).collect();
        assert_eq!(sequences.len(), 10);
        for request in &requests {
            let start_ns = requests.iter().map(|r| r.planned_ns).min().unwrap();
            assert_eq!(request.planned_ns, start_ns + 1_000_000 * request.sequence);
            let is_sent = request.sequence < sent;
            let outcome = if is_sent {
                Outcome::Unfinished
            } else {
                Outcome::Unsent
            };
            assert_eq!(request.outcome, outcome as u8);
            assert_eq!(request.connection == Request::NO_CONNECTION, !is_sent);
            assert_eq!(request.end_byte > request.first_byte, is_sent);
            assert_eq!(request.flags, if is_sent { 0 } else { Request::QUEUED });
        }
    }
}

#[test]
fn a_block_ends_by_its_time() {
    let block = Block {
        requests: u64::MAX,
        time_ns: Some(50_000_000),
        ..BLOCK
    };
    let (report, requests, _) = silence(SETTINGS, block, false);
    assert_eq!(report.end, Ok(()));
    assert_eq!(requests.len(), 3);
    let unfinished = Outcome::Unfinished as u8;
    assert!(requests.iter().all(|request| request.outcome == unfinished));
}

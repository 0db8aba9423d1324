use runlog::Order;
use runlog::manifest::Schedule;
use runlog::table::TableWriter;

use super::*;

const SLICE_NS: u64 = 1_000_000;

/// A call that has read something, on the server's clock.
fn call(design: &Design, connection: u32, ordinal: u32, enter_ns: u64) -> BracketedCall {
    let slices = design.slices.unwrap();
    BracketedCall {
        salt: design.trial.salt(connection),
        ordinal,
        arm: u16::try_from(slices.at(enter_ns).arm).unwrap(),
        enter_ns,
        back_exit_ns: enter_ns + 5,
        returned: 100,
        flags: BracketedCall::FRESH | BracketedCall::REACHED_BACK,
        ..BracketedCall::default()
    }
}

fn design(size: u32) -> Design {
    let trial = format!("seed=1 size={size} slice={SLICE_NS} arms=off,on");
    let schedule = Schedule {
        order: Order::Trial,
        seed: 1,
        connections: 2,
        requests_per_cell: 0,
        blocks_per_cell: 1,
        servers_per_arm: 1,
        warmup_requests: 0,
        block_warmup_requests: 0,
        trial: Some(trial.replace("size=0 ", "")),
    };
    Design::of(&schedule).unwrap()
}

/// Counts the calls that are misplaced where a connection has had these requests.
fn misplaced(design: &Design, calls: &[BracketedCall], requests: &[Request], ahead_ns: i64) -> u64 {
    let folder = tempfile::tempdir().unwrap();
    let run = RunDirectory::create(folder.path().join("run")).unwrap();
    let mut table = TableWriter::create(run.bracketed_calls()).unwrap();
    for call in calls {
        table.push(call).unwrap();
    }
    table.finish().unwrap();
    let connections = [0, 1].map(|connection| ClientConnection {
        connection,
        ..ClientConnection::default()
    });
    let log = CallLog::read(&run, &design.trial, &connections, ahead_ns).unwrap();
    let mut log = log.unwrap();
    let found = log.of_connection(design, 0, requests);
    assert!(found.iter().all(Option::is_some));
    log.misplaced()
}

/// As at the end of a TLS session, and on a connection without any request.
#[test]
fn what_a_server_read_and_never_answered_is_of_no_request_of_its_log() {
    let design = design(0);
    let calls = [(0, 0), (0, 1), (1, 0)];
    let calls = calls.map(|(connection, ordinal)| call(&design, connection, ordinal, 700));
    let requests = [Request::default()];
    assert_eq!(misplaced(&design, &calls, &requests, 0), 0);
    // One of another arm than that of its instant is still one too many.
    let mut other = calls;
    other[0].arm ^= 1;
    let request = call(&design, 0, 0, 600);
    let calls = [&other[..], &[request]].concat();
    assert_eq!(misplaced(&design, &calls, &requests, 0), 1);
}

#[test]
fn slices_are_those_of_the_servers_clock() {
    let design = design(256);
    let ahead_ns: i64 = 123_456_789;
    let begin_ns = ahead_ns.cast_unsigned();
    let requests: Vec<Request> = (0..100)
        .map(|ordinal| Request {
            first_byte: ordinal * 256,
            ..Request::default()
        })
        .collect();
    let calls: Vec<BracketedCall> = (0..100)
        .map(|ordinal| {
            let enter_ns = begin_ns + u64::from(ordinal) * SLICE_NS / 10;
            call(&design, 0, ordinal, enter_ns)
        })
        .collect();
    assert_eq!(misplaced(&design, &calls, &requests, ahead_ns), 0);
    // What is known of the clocks does not decide about it.
    assert_eq!(misplaced(&design, &calls, &requests, ahead_ns - 70_000), 0);
}

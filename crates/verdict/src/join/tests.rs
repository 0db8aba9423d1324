//! The join on scripted logs, each with an outcome known beforehand.

use std::collections::BTreeMap;

use runlog::RunDirectory;
use runlog::analysis::{ClockRelation, Join};
use runlog::record::{
    ClientConnection, JoinedRequest, ReadSpan, Request, ServerClose, ServerConnection, WriteSpan,
};
use runlog::table::TableWriter;

use super::*;

const IDENTITY: u64 = 0xabc;

/// A request of `length` bytes that was sent at `at_ns` and took 1,000 ns.
fn request(sequence: u64, first_byte: u64, length: u64, at_ns: u64) -> Request {
    Request {
        sequence,
        connection: 5,
        local_port: 4000,
        flags: Request::OBSERVED,
        first_byte,
        end_byte: first_byte + length,
        sent_ns: at_ns,
        done_ns: at_ns + 1_000,
        ..Request::default()
    }
}

/// A read that began 100 ns after `at_ns`: 200 ns in the syscall, 50 ns of overhead.
fn read(first_byte: u64, returned: i64, at_ns: u64) -> ReadSpan {
    ReadSpan {
        connection: IDENTITY,
        first_byte,
        returned,
        enter_ns: at_ns + 100,
        syscall_enter_ns: at_ns + 110,
        syscall_exit_ns: at_ns + 310,
        inner_exit_ns: at_ns + 320,
        exit_ns: at_ns + 370,
        ..ReadSpan::default()
    }
}

fn write(at_ns: u64) -> WriteSpan {
    WriteSpan {
        connection: IDENTITY,
        enter_ns: at_ns + 470,
        exit_ns: at_ns + 770,
        ..WriteSpan::default()
    }
}

/// What is in a run.
#[derive(Clone)]
struct Logged {
    requests: Vec<Request>,
    reads: Vec<ReadSpan>,
    writes: Vec<WriteSpan>,
    client: Vec<ClientConnection>,
    server: Vec<ServerConnection>,
    closes: Vec<ServerClose>,
    one_clock: Option<bool>,
    window: Window,
}

fn opened(connection: u32, local_port: u16, opening_ns: u64) -> ClientConnection {
    ClientConnection {
        connection,
        local_port,
        opening_ns,
        sent_bytes: u64::MAX,
        ..ClientConnection::default()
    }
}

fn accepted(connection: u64, peer_port: u16, accepted_ns: u64) -> ServerConnection {
    ServerConnection {
        connection,
        peer_port,
        accepted_ns,
        ..ServerConnection::default()
    }
}

fn logged(requests: Vec<Request>, reads: Vec<ReadSpan>, writes: Vec<WriteSpan>) -> Logged {
    Logged {
        requests,
        reads,
        writes,
        client: vec![opened(5, 4000, 1)],
        server: vec![accepted(IDENTITY, 4000, 2)],
        closes: Vec::new(),
        one_clock: Some(true),
        window: Window::ALWAYS,
    }
}

fn table<T: runlog::table::WritableRow>(path: std::path::PathBuf, rows: &[T]) {
    let mut table = TableWriter::create(path).unwrap();
    for row in rows {
        table.push(row).unwrap();
    }
    table.finish().unwrap();
}

impl Logged {
    fn join_by(&self, grouping: Grouping) -> (Join, Vec<JoinedRequest>) {
        let folder = tempfile::tempdir().unwrap();
        let run = RunDirectory::create(folder.path()).unwrap();
        table(run.requests(), &self.requests);
        table(run.reads(), &self.reads);
        table(run.writes(), &self.writes);
        table(run.client_connections(), &self.client);
        table(run.server_connections(), &self.server);
        table(run.server_closes(), &self.closes);
        let source = Source {
            load: run.clone(),
            spans: run,
            grouping,
            wants: &|_, observed| observed,
            window: self.window,
            one_clock: self.one_clock,
        };
        let mut joined = Vec::new();
        let output = join(&source, |request| {
            joined.push(*request);
            Ok(())
        });
        let output = output.unwrap();
        assert!(!output.cut_short);
        (output.join, joined)
    }

    /// As one block. As a whole it comes to the same.
    fn join(&self) -> (Join, Vec<JoinedRequest>) {
        let result = self.join_by(Grouping::Block);
        assert_eq!(result, self.join_by(Grouping::All));
        result
    }
}

fn unmatched(cause: &str, count: u64) -> BTreeMap<String, u64> {
    [(cause.to_owned(), count)].into()
}

#[test]
fn one_read_a_request() {
    let (join, joined) = logged(
        vec![request(0, 0, 150, 1_000), request(1, 150, 150, 3_000)],
        vec![
            read(0, 150, 1_000),
            read(150, 150, 3_000),
            read(300, 0, 9_000),
        ],
        vec![write(1_000), write(3_000)],
    )
    .join();
    assert_eq!((join.requests, join.matched), (2, 2));
    assert_eq!((join.outside_sent_done, join.reads_without_request), (0, 0));
    assert_eq!(join.connections.by_port, 1);
    assert_eq!(
        joined[0],
        JoinedRequest {
            flags: Request::OBSERVED,
            calls: 1,
            request_bytes: 150,
            hook_overhead_ns: 50,
            read_syscall_ns: 200,
            application_ns: 100,
            write_syscall_ns: 300,
            response_time_ns: 1_000,
            first_read_enter_ns: 1_100,
            last_read_exit_ns: 1_370,
            ..JoinedRequest::default()
        }
    );
    // The end of the stream was read too, but nobody waited for it.
    assert_eq!((joined[1].sequence, joined[1].calls), (1, 1));
    assert_eq!(join.reads_after_done, 1);
    assert_eq!(joined[1].last_read_exit_ns, 3_370);
    let clocks = join.clocks.unwrap();
    assert_eq!(clocks.relation, ClockRelation::One);
    // The write began 530 ns before the response was complete, the read ended 370 ns after it was sent.
    assert_eq!((clocks.offset_ns, clocks.bound_ns), (0.0, 530.0));
}

#[test]
fn a_request_split_over_reads_and_reads_that_found_nothing() {
    let (_, joined) = logged(
        vec![request(0, 0, 150, 1_000)],
        vec![
            read(0, -1, 900),
            read(0, 100, 1_000),
            read(100, -1, 1_100),
            read(100, 50, 1_200),
        ],
        vec![write(1_200)],
    )
    .join();
    assert_eq!((joined[0].calls, joined[0].hook_overhead_ns), (3, 150));
    assert_eq!(
        (joined[0].first_read_enter_ns, joined[0].last_read_exit_ns),
        (1_100, 1_570)
    );
}

#[test]
fn a_read_with_several_requests_is_counted_once_and_said_to_be_shared() {
    let (join, joined) = logged(
        vec![
            request(0, 0, 150, 1_000),
            request(1, 150, 150, 1_001),
            request(2, 300, 150, 1_002),
        ],
        vec![read(0, 400, 1_010), read(400, 50, 1_400)],
        vec![write(1_400)],
    )
    .join();
    let calls: Vec<u32> = joined.iter().map(|joined| joined.calls).collect();
    assert_eq!(calls, [1, 0, 1]);
    assert_eq!((join.shared, join.reads_without_request), (3, 0));
    assert!(
        joined
            .iter()
            .all(|joined| joined.flags & JoinedRequest::SHARED != 0)
    );
}

#[test]
fn a_lost_record_costs_its_requests_and_no_other() {
    let (join, joined) = logged(
        vec![
            request(0, 0, 150, 1_000),
            request(1, 150, 150, 3_000),
            request(2, 300, 150, 5_000),
            request(3, 450, 150, 7_000),
        ],
        // The second is missing, and the first half of the fourth.
        vec![
            read(0, 150, 1_000),
            read(300, 150, 5_000),
            read(550, 50, 7_000),
        ],
        vec![],
    )
    .join();
    let sequences: Vec<u64> = joined.iter().map(|joined| joined.sequence).collect();
    assert_eq!(sequences, [0, 2]);
    assert_eq!(join.unmatched, unmatched(cause::LOST, 2));
    assert_eq!(join.reads_without_request, 0);
}

#[test]
fn causes_are_told_apart() {
    let mut failed = request(0, 0, 150, 1_000);
    failed.outcome = 3;
    let (join, _) = logged(vec![failed], vec![read(0, 150, 1_000)], vec![]).join();
    assert_eq!(join.unmatched, unmatched(cause::FAILED, 1));

    let one = || vec![request(0, 0, 150, 1_000)];
    let mut unseen = logged(one(), vec![], vec![]);
    unseen.server.clear();
    assert_eq!(unseen.join().0.unmatched, unmatched(cause::NOT_SEEN, 1));

    let older = read(ReadSpan::UNKNOWN_OFFSET, 150, 1_000);
    let (join, _) = logged(one(), vec![older], vec![]).join();
    assert_eq!(join.unmatched, unmatched(cause::OLDER, 1));
    assert_eq!(join.reads_without_request, 1);

    let (join, _) = logged(one(), vec![], vec![]).join();
    assert_eq!(join.unmatched, unmatched(cause::LOST, 1));

    let late = vec![request(1, 150, 150, 3_000), request(0, 0, 150, 1_000)];
    let reads = vec![read(0, 150, 1_000), read(150, 150, 3_000)];
    let (join, joined) = logged(late, reads, vec![]).join();
    assert_eq!(join.unmatched, unmatched(cause::OUT_OF_ORDER, 1));
    assert_eq!(joined.len(), 1);
}

#[test]
fn a_connection_older_than_the_attach_is_not_guessed_and_its_successor_is_joined() {
    let mut logged = logged(
        vec![request(0, 0, 150, 1_000), request(1, 150, 150, 3_000)],
        vec![read(ReadSpan::UNKNOWN_OFFSET, 150, 3_000)],
        vec![],
    );
    // The probes were attached at 2,500, and a second connection was opened at 4,000.
    logged.window.from_ns = 2_500;
    logged.client.push(opened(6, 4000, 4_000));
    logged.server = vec![accepted(0xdef, 4000, 4_100)];
    let mut next = request(2, 0, 150, 5_000);
    next.connection = 6;
    logged.requests.push(next);
    let mut of_next = read(0, 150, 5_000);
    of_next.connection = 0xdef;
    logged.reads.push(of_next);
    let (join, joined) = logged.join();
    assert_eq!(
        (join.outside_attach, join.requests, join.matched),
        (1, 2, 1)
    );
    assert_eq!(join.unmatched, unmatched(cause::OLDER, 1));
    assert_eq!(joined[0].sequence, 2);
}

#[test]
fn reads_of_bytes_that_nobody_logged_are_counted() {
    let (join, joined) = logged(
        vec![request(1, 150, 150, 3_000)],
        vec![
            read(0, 150, 1_000),
            read(150, 150, 3_000),
            read(300, 10, 5_000),
        ],
        vec![],
    )
    .join();
    assert_eq!((joined.len(), join.reads_without_request), (1, 2));
}

#[test]
fn a_read_outside_of_the_request_is_noticed() {
    let (join, _) = logged(
        vec![request(0, 0, 150, 9_000)],
        vec![read(0, 150, 1_000)],
        vec![],
    )
    .join();
    assert_eq!((join.matched, join.outside_sent_done), (1, 1));
    // An earlier read of a request counts too.
    let (join, _) = logged(
        vec![request(0, 0, 150, 9_000)],
        vec![read(0, 100, 1_000), read(100, 50, 9_000)],
        vec![],
    )
    .join();
    assert_eq!((join.matched, join.outside_sent_done), (1, 1));
}

#[test]
fn a_blocking_servers_waiting_is_no_part_of_the_request() {
    let mut waiting = read(0, 150, 1_000);
    waiting.enter_ns = 5;
    waiting.syscall_enter_ns = 10;
    let (join, joined) = logged(
        vec![request(0, 0, 150, 1_000)],
        vec![waiting],
        vec![write(1_000)],
    )
    .join();
    // Sent at 1,000; the syscall ended at 1,310.
    assert_eq!((joined[0].read_syscall_ns, joined[0].waited_ns), (310, 990));
    assert_eq!(join.waited_for, 1);
}

#[test]
fn an_answer_that_began_after_the_response_was_complete_is_not_taken_for_it() {
    let (_, joined) = logged(
        vec![request(0, 0, 150, 1_000), request(1, 150, 150, 2_400)],
        vec![read(0, 150, 1_000), read(150, 150, 2_400)],
        vec![write(2_400)],
    )
    .join();
    assert_eq!(joined[0].write_syscall_ns, 0);
    assert_eq!(joined[1].write_syscall_ns, 300);
}

/// Connections that are all alike, but for the instants of their requests: `(client, server, port at the
/// server, instants)`.
fn alike(connections: &[(u32, u64, u16, &[u64])]) -> Logged {
    let mut all = logged(vec![], vec![], vec![]);
    all.client.clear();
    all.server.clear();
    let mut sequence = 0;
    for (client, identity, port, instants) in connections {
        all.client
            .push(opened(*client, 4000 + u16::try_from(*client).unwrap(), 1));
        all.server.push(accepted(*identity, *port, 2));
        for (first_byte, at_ns) in (0..).step_by(150).zip(*instants) {
            let mut sent = request(sequence, first_byte, 150, *at_ns);
            sent.connection = *client;
            all.requests.push(sent);
            let mut delivered = read(first_byte, 150, *at_ns);
            delivered.connection = *identity;
            all.reads.push(delivered);
            sequence += 1;
        }
    }
    all.requests.sort_by_key(|request| request.done_ns);
    all.reads.sort_by_key(|read| read.exit_ns);
    all
}

#[test]
fn behind_a_gateway_that_changes_ports_content_tells_connections_apart() {
    let (join, joined) = alike(&[
        (1, 0xa, 61_000, &[1_000, 5_000, 9_000]),
        (2, 0xb, 61_001, &[1_500, 7_000, 9_000]),
    ])
    .join();
    assert_eq!((join.matched, join.connections.by_content), (6, 2));
    assert_eq!(join.outside_sent_done, 0);
    let overheads: u64 = joined.iter().map(|joined| joined.hook_overhead_ns).sum();
    assert_eq!(overheads, 6 * 50);
}

#[test]
fn connections_that_content_does_not_tell_apart_stay_unmatched() {
    // The requests of both were under way at the same time, each time.
    let (join, _) = alike(&[
        (1, 0xa, 61_000, &[1_000, 5_000]),
        (2, 0xb, 61_001, &[1_100, 5_100]),
    ])
    .join();
    assert_eq!(join.unmatched, unmatched(cause::AMBIGUOUS, 4));
    assert_eq!(join.connections.unmatched, 2);
    // Two of them can be: the third's first request fits no other.
    let (join, joined) = alike(&[
        (1, 0xa, 61_000, &[1_000, 5_000]),
        (2, 0xb, 61_001, &[1_100, 5_100]),
        (3, 0xc, 61_002, &[3_000, 5_050]),
    ])
    .join();
    assert_eq!(join.unmatched, unmatched(cause::AMBIGUOUS, 4));
    assert_eq!(joined.len(), 2);
}

#[test]
fn a_lost_accept_is_made_up_for_by_content() {
    let mut logged = alike(&[
        (1, 0xa, 4001, &[1_000, 5_000, 9_000]),
        (2, 0xb, 4002, &[1_500, 7_000, 9_000]),
    ]);
    logged.server.remove(0);
    let (join, _) = logged.join();
    assert_eq!((join.matched, join.connections.by_port), (6, 1));
    assert_eq!(join.connections.by_content, 1);
}

#[test]
fn the_offset_of_two_clocks_is_found_and_bounded() {
    const APART_NS: u64 = 1_000_000_000_000;
    let mut logged = alike(&[
        (1, 0xa, 4001, &[1_000, 5_000, 9_000]),
        (2, 0xb, 4002, &[1_500, 7_000, 9_500]),
    ]);
    for read in &mut logged.reads {
        // One read took longer to begin, another ended just before the response: bounds on both sides.
        for instant in [
            &mut read.enter_ns,
            &mut read.syscall_enter_ns,
            &mut read.syscall_exit_ns,
            &mut read.inner_exit_ns,
            &mut read.exit_ns,
        ] {
            *instant += APART_NS;
        }
    }
    logged.reads[0].exit_ns -= 300; // 70 ns after it was sent
    logged.reads[1].exit_ns += 600; // 30 ns before it was done
    for accepted in &mut logged.server {
        accepted.accepted_ns += APART_NS;
    }
    for (one_clock, relation) in [
        (Some(false), ClockRelation::Two),
        (None, ClockRelation::AssumedTwo),
    ] {
        logged.one_clock = one_clock;
        let (join, _) = logged.join();
        assert_eq!((join.matched, join.outside_sent_done), (6, 0), "{join:?}");
        let clocks = join.clocks.unwrap();
        assert_eq!(clocks.relation, relation);
        let found = [clocks.offset_ns, clocks.bound_ns, clocks.drift_ns];
        assert_eq!(
            found.map(f64::to_bits),
            [1e12 + 20.0, 50.0, 0.0].map(f64::to_bits)
        );
    }
    // If they were one clock, the records would be of other requests.
    logged.one_clock = Some(true);
    assert_eq!(logged.join().0.matched, 0);
}

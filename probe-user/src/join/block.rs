//! The join of one block, whose connections live within it.

use std::collections::BTreeMap;

use runlog::record::{
    ClientConnection, JoinedRequest, ReadSpan, Request, ServerConnection, WriteSpan,
};

use crate::join::connections::match_connections;

/// Everything that was logged of one block with the probes attached.
#[derive(Debug, Default)]
pub struct BlockLogs {
    /// Requests of hooked arms, in any order.
    pub requests: Vec<Request>,
    /// The client's connections.
    pub client_connections: Vec<ClientConnection>,
    /// The connections that the server accepted.
    pub server_connections: Vec<ServerConnection>,
    /// Hooked reads, in the order of the ring buffer.
    pub reads: Vec<ReadSpan>,
    /// Writes on tracked connections, in the order of the ring buffer.
    pub writes: Vec<WriteSpan>,
}

/// What came of it.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct BlockJoin {
    /// Requests whose every byte was found.
    pub joined: Vec<JoinedRequest>,
    /// The others, by cause.
    pub unmatched: BTreeMap<&'static str, u64>,
    /// Joined requests of which a read ended outside of [sent, done].
    pub outside_sent_done: u64,
    /// Reads without bytes that ended after the response had arrived: the end of the stream, or
    /// looking for the next request.
    pub reads_after_done: u64,
    /// Reads that returned bytes and belong to no logged request.
    pub reads_without_request: u64,
}

/// Causes of unmatched requests.
mod cause {
    pub const FAILED: &str = "request_failed";
    pub const NOT_ACCEPTED: &str = "connection_not_seen";
    pub const OLDER: &str = "connection_older_than_attach";
    pub const LOST: &str = "records_lost";
}

/// Joins a block.
pub fn join_block(mut logs: BlockLogs) -> BlockJoin {
    let identities = match_connections(&logs.client_connections, &logs.server_connections);
    let mut reads: BTreeMap<u64, Vec<ReadSpan>> = BTreeMap::new();
    for read in logs.reads.drain(..) {
        reads.entry(read.connection).or_default().push(read);
    }
    let mut writes: BTreeMap<u64, Vec<WriteSpan>> = BTreeMap::new();
    for write in logs.writes.drain(..) {
        writes.entry(write.connection).or_default().push(write);
    }
    let mut requests: BTreeMap<u32, Vec<Request>> = BTreeMap::new();
    for request in logs.requests.drain(..) {
        requests
            .entry(request.connection)
            .or_default()
            .push(request);
    }

    let mut join = BlockJoin::default();
    for (number, mut requests) in requests {
        requests.sort_by_key(|request| request.first_byte);
        let identity = identities.get(&number);
        let reads = identity.and_then(|identity| reads.remove(identity));
        let writes = identity
            .and_then(|identity| writes.remove(identity))
            .unwrap_or_default();
        match (identity, reads) {
            (None, _) => join.all_unmatched(&requests, cause::NOT_ACCEPTED),
            (Some(_), None) => join.all_unmatched(&requests, cause::LOST),
            (Some(_), Some(reads)) if reads.iter().any(is_of_unknown_offset) => {
                join.all_unmatched(&requests, cause::OLDER);
            }
            (Some(_), Some(reads)) => join.connection(&requests, &reads, &writes),
        }
    }
    // What is left was read on connections that no logged request used.
    join.reads_without_request += reads
        .values()
        .flatten()
        .filter(|read| read.returned > 0)
        .count() as u64;
    join
}

fn is_of_unknown_offset(read: &ReadSpan) -> bool {
    read.returned > 0 && read.first_byte == ReadSpan::UNKNOWN_OFFSET
}

/// How long a read was in the kernel since a request was sent. What a blocking server waited before
/// is no part of the response time.
fn syscall_since(read: &ReadSpan, sent_ns: u64) -> u64 {
    match read.syscall_ns() {
        Some(_) => read
            .syscall_exit_ns
            .saturating_sub(read.syscall_enter_ns.max(sent_ns)),
        None => 0,
    }
}

impl BlockJoin {
    fn unmatched(&mut self, cause: &'static str) {
        *self.unmatched.entry(cause).or_default() += 1;
    }

    fn all_unmatched(&mut self, requests: &[Request], cause: &'static str) {
        for request in requests {
            self.unmatched(if request.is_ok() {
                cause
            } else {
                cause::FAILED
            });
        }
    }

    /// Walks along the requests and the reads of one connection side by side.
    fn connection(&mut self, requests: &[Request], reads: &[ReadSpan], writes: &[WriteSpan]) {
        let mut reads_from = 0;
        let mut writes_from = 0;
        // Bytes up to here have been attributed; `last` tells whether the read before was shared.
        let mut previous_end = 0;
        for (index, request) in requests.iter().enumerate() {
            // Reads that ended before this request's first byte belong to nobody in the log.
            while let Some(read) = reads.get(reads_from)
                && read_end(read) <= request.first_byte
            {
                let belongs_to_nobody = read.returned > 0 && read_end(read) > previous_end;
                self.reads_without_request += u64::from(belongs_to_nobody);
                reads_from += 1;
            }
            previous_end = request.end_byte;
            let found = Found::collect(request, &reads[reads_from..]);
            let next_request = requests.get(index + 1);
            if !request.is_ok() {
                self.unmatched(cause::FAILED);
            } else if found.is_complete {
                let last_exit_ns = found.last_exit_ns;
                while writes
                    .get(writes_from)
                    .is_some_and(|write| write.enter_ns < last_exit_ns)
                {
                    writes_from += 1;
                }
                let write = writes.get(writes_from);
                self.outside_sent_done += u64::from(found.is_outside);
                self.reads_after_done += found.after_done;
                self.joined
                    .push(found.into_joined(request, write, next_request));
            } else {
                self.unmatched(cause::LOST);
            }
        }
        let rest = &reads[reads_from..];
        self.reads_without_request += rest
            .iter()
            .filter(|read| read.returned > 0 && read.first_byte >= previous_end)
            .count() as u64;
    }
}

/// Offset behind the last byte that a read returned; for a read without bytes, where it stood.
fn read_end(read: &ReadSpan) -> u64 {
    read.first_byte
        .saturating_add(u64::try_from(read.returned).unwrap_or(0))
}

/// The reads of one request.
#[derive(Default)]
struct Found {
    is_complete: bool,
    shared: bool,
    /// A read that returned bytes ended outside of [sent, done].
    is_outside: bool,
    after_done: u64,
    calls: u32,
    hook_overhead_ns: u64,
    read_syscall_ns: u64,
    first_enter_ns: u64,
    last_exit_ns: u64,
}

impl Found {
    /// Collects from `reads`, the first of which returned the request's first byte if any did. A
    /// read without bytes (nothing there yet, end of stream) belongs to the request before it.
    fn collect(request: &Request, reads: &[ReadSpan]) -> Self {
        let mut found = Self::default();
        let mut reached = request.first_byte;
        for read in reads {
            let has_bytes = read.returned > 0;
            if has_bytes && read.first_byte >= request.end_byte {
                break; // the next request's
            }
            if has_bytes {
                if read.first_byte > reached {
                    break; // a record is missing
                }
                let starts_before = read.first_byte < request.first_byte;
                found.shared |= starts_before || read_end(read) > request.end_byte;
                reached = read_end(read);
                found.last_exit_ns = read.exit_ns;
                let lifetime = request.sent_ns..=request.done_ns;
                found.is_outside |= !lifetime.contains(&read.exit_ns);
                if starts_before {
                    // Its cost was counted with the request that it began with.
                    continue;
                }
            } else if found.last_exit_ns == 0 {
                continue; // before the first byte: the previous request's
            } else if read.exit_ns > request.done_ns {
                found.after_done += 1;
                continue; // the client did not wait for it
            }
            if found.calls == 0 {
                found.first_enter_ns = read.enter_ns;
            }
            found.calls += 1;
            found.hook_overhead_ns += read.hook_overhead_ns();
            found.read_syscall_ns += syscall_since(read, request.sent_ns);
        }
        found.is_complete = reached >= request.end_byte;
        found
    }

    fn into_joined(
        self,
        request: &Request,
        write: Option<&WriteSpan>,
        next: Option<&Request>,
    ) -> JoinedRequest {
        // A write that begins after the next request was sent may be that one's answer.
        let write = write.filter(|write| next.is_none_or(|next| write.enter_ns < next.sent_ns));
        JoinedRequest {
            sequence: request.sequence,
            arm: request.arm,
            flags: request.flags
                | if self.shared {
                    JoinedRequest::SHARED
                } else {
                    0
                },
            block: request.block,
            calls: self.calls,
            hook_overhead_ns: self.hook_overhead_ns,
            read_syscall_ns: self.read_syscall_ns,
            application_ns: write.map_or(0, |write| write.enter_ns - self.last_exit_ns),
            write_syscall_ns: write.map_or(0, |write| write.exit_ns - write.enter_ns),
            response_time_ns: request.response_time_ns(),
            first_read_enter_ns: self.first_enter_ns,
            last_read_exit_ns: self.last_exit_ns,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDENTITY: u64 = 0xabc;

    /// A request of `length` bytes that was sent at `at_ns` and took 1,000 ns.
    fn request(sequence: u64, first_byte: u64, length: u64, at_ns: u64) -> Request {
        Request {
            sequence,
            connection: 5,
            local_port: 4000,
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

    fn logs(requests: Vec<Request>, reads: Vec<ReadSpan>, writes: Vec<WriteSpan>) -> BlockLogs {
        BlockLogs {
            requests,
            reads,
            writes,
            client_connections: vec![ClientConnection {
                connection: 5,
                local_port: 4000,
                opening_ns: 1,
                ..ClientConnection::default()
            }],
            server_connections: vec![ServerConnection {
                connection: IDENTITY,
                peer_port: 4000,
                accepted_ns: 2,
                ..ServerConnection::default()
            }],
        }
    }

    #[test]
    fn one_read_a_request() {
        let join = join_block(logs(
            vec![request(0, 0, 150, 1_000), request(1, 150, 150, 3_000)],
            vec![
                read(0, 150, 1_000),
                read(150, 150, 3_000),
                read(300, 0, 9_000),
            ],
            vec![write(1_000), write(3_000)],
        ));
        assert_eq!(join.unmatched, BTreeMap::new());
        assert_eq!((join.outside_sent_done, join.reads_without_request), (0, 0));
        assert_eq!(
            join.joined[0],
            JoinedRequest {
                calls: 1,
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
        assert_eq!((join.joined[1].sequence, join.joined[1].calls), (1, 1));
        assert_eq!(join.reads_after_done, 1);
        assert_eq!(join.joined[1].last_read_exit_ns, 3_370);
    }

    #[test]
    fn a_request_split_over_reads_and_reads_that_found_nothing() {
        let join = join_block(logs(
            vec![request(0, 0, 150, 1_000)],
            vec![
                read(0, 100, 1_000),
                read(100, -1, 1_100),
                read(100, 50, 1_200),
            ],
            vec![write(1_200)],
        ));
        let joined = join.joined[0];
        assert_eq!((joined.calls, joined.hook_overhead_ns), (3, 150));
        assert_eq!(
            (joined.first_read_enter_ns, joined.last_read_exit_ns),
            (1_100, 1_570)
        );
    }

    #[test]
    fn a_read_with_several_requests_is_counted_once_and_said_to_be_shared() {
        let join = join_block(logs(
            vec![
                request(0, 0, 150, 1_000),
                request(1, 150, 150, 1_001),
                request(2, 300, 150, 1_002),
            ],
            vec![read(0, 400, 1_010), read(400, 50, 1_400)],
            vec![write(1_400)],
        ));
        let calls: Vec<u32> = join.joined.iter().map(|joined| joined.calls).collect();
        assert_eq!(calls, [1, 0, 1]);
        assert!(
            join.joined
                .iter()
                .all(|joined| joined.flags & JoinedRequest::SHARED != 0)
        );
        assert_eq!(join.reads_without_request, 0);
    }

    #[test]
    fn a_lost_record_costs_its_requests_and_no_other() {
        let join = join_block(logs(
            vec![
                request(0, 0, 150, 1_000),
                request(1, 150, 150, 3_000),
                request(2, 300, 150, 5_000),
            ],
            vec![read(0, 150, 1_000), read(300, 150, 5_000)],
            vec![],
        ));
        let sequences: Vec<u64> = join.joined.iter().map(|joined| joined.sequence).collect();
        assert_eq!(sequences, [0, 2]);
        assert_eq!(join.unmatched, [(cause::LOST, 1)].into());
    }

    #[test]
    fn causes_are_told_apart() {
        let mut failed = request(0, 0, 150, 1_000);
        failed.outcome = 3;
        let one = || vec![request(0, 0, 150, 1_000)];
        let join = join_block(logs(vec![failed], vec![read(0, 150, 1_000)], vec![]));
        assert_eq!(join.unmatched, [(cause::FAILED, 1)].into());

        let mut unseen = logs(one(), vec![read(0, 150, 1_000)], vec![]);
        unseen.server_connections.clear();
        let join = join_block(unseen);
        assert_eq!(join.unmatched, [(cause::NOT_ACCEPTED, 1)].into());
        assert_eq!(join.reads_without_request, 1);

        let older = read(ReadSpan::UNKNOWN_OFFSET, 150, 1_000);
        let join = join_block(logs(one(), vec![older], vec![]));
        assert_eq!(join.unmatched, [(cause::OLDER, 1)].into());

        let join = join_block(logs(one(), vec![], vec![]));
        assert_eq!(join.unmatched, [(cause::LOST, 1)].into());
    }

    #[test]
    fn reads_of_bytes_that_nobody_logged_are_counted() {
        let join = join_block(logs(
            vec![request(1, 150, 150, 3_000)],
            vec![
                read(0, 150, 1_000),
                read(150, 150, 3_000),
                read(300, 10, 5_000),
            ],
            vec![],
        ));
        assert_eq!((join.joined.len(), join.reads_without_request), (1, 2));
    }

    #[test]
    fn a_read_outside_of_the_request_is_noticed() {
        let join = join_block(logs(
            vec![request(0, 0, 150, 9_000)],
            vec![read(0, 150, 1_000)],
            vec![],
        ));
        assert_eq!((join.joined.len(), join.outside_sent_done), (1, 1));
        // An earlier read of a request counts too.
        let join = join_block(logs(
            vec![request(0, 0, 150, 9_000)],
            vec![read(0, 100, 1_000), read(100, 50, 9_000)],
            vec![],
        ));
        assert_eq!((join.joined.len(), join.outside_sent_done), (1, 1));
    }

    #[test]
    fn a_blocking_servers_waiting_is_no_part_of_the_request() {
        let mut waiting = read(0, 150, 1_000);
        waiting.enter_ns = 5;
        waiting.syscall_enter_ns = 10;
        let join = join_block(logs(
            vec![request(0, 0, 150, 1_000)],
            vec![waiting],
            vec![write(1_000)],
        ));
        // Sent at 1,000; the syscall ended at 1,310.
        assert_eq!(join.joined[0].read_syscall_ns, 310);
    }

    #[test]
    fn an_answer_after_the_next_request_was_sent_is_not_taken_for_ours() {
        let join = join_block(logs(
            vec![request(0, 0, 150, 1_000), request(1, 150, 150, 1_400)],
            vec![read(0, 150, 1_000), read(150, 150, 1_400)],
            vec![write(1_400)],
        ));
        assert_eq!(join.joined[0].write_syscall_ns, 0);
        assert_eq!(join.joined[1].write_syscall_ns, 300);
    }
}

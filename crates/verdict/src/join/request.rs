//! The reads and the answer of one request.

use std::collections::VecDeque;

use runlog::record::{JoinedRequest, ReadSpan, Request, WriteSpan};

use crate::join::clock::{Bounds, difference};

/// What is known of a matched connection and not yet used up, in the order of its bytes.
#[derive(Debug, Default)]
pub struct Connection {
    reads: VecDeque<ReadSpan>,
    writes: VecDeque<WriteSpan>,
    /// Everything up to here has been asked for.
    reached: u64,
    /// A read came whose place among the bytes is not known.
    has_unknown_offset: bool,
    /// Reads without bytes that nobody waited for.
    pub empty_reads: u64,
    /// Reads with bytes of no request.
    pub reads_of_nobody: u64,
}

/// A request with its reads.
#[derive(Clone, Copy, Debug)]
pub struct Found {
    /// As the run directory has it.
    pub joined: JoinedRequest,
    /// Whether each of its reads ended within [sent, done].
    pub is_within: bool,
    /// What it says about the clocks' offset.
    pub bounds: Bounds,
}

/// Why a request has no complete set of reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// A later request of the connection came before it.
    OutOfOrder,
    /// Bytes of it are in no record.
    Lost,
    /// They may be in a record whose place among the bytes is not known.
    UnknownOffset,
}

/// Offset behind the last byte that a read returned; for a read without bytes, where it stood.
pub fn read_end(read: &ReadSpan) -> u64 {
    let returned = u64::try_from(read.returned).unwrap_or(0);
    read.first_byte.saturating_add(returned)
}

impl Connection {
    /// Adds a read.
    pub fn push_read(&mut self, read: ReadSpan) {
        if read.first_byte == ReadSpan::UNKNOWN_OFFSET {
            self.has_unknown_offset = true;
            self.reads_of_nobody += u64::from(read.returned > 0);
            return;
        }
        // Records of one connection are made one after the other; threads that hand a connection on may
        // still write theirs in another order.
        let behind = |other: &ReadSpan| (other.first_byte, other.exit_ns);
        let place = self
            .reads
            .iter()
            .rposition(|other| behind(other) <= behind(&read));
        self.reads.insert(place.map_or(0, |place| place + 1), read);
    }

    /// Adds a write.
    pub fn push_write(&mut self, write: WriteSpan) {
        self.writes.push_back(write);
    }

    /// Counts a read for which there is no request any more.
    pub fn pass_over(&mut self, read: &ReadSpan) {
        if read.returned <= 0 {
            self.empty_reads += 1;
        } else if read.first_byte == ReadSpan::UNKNOWN_OFFSET || read_end(read) > self.reached {
            self.reads_of_nobody += 1;
        }
    }

    /// Counts what is left.
    pub fn finish(&mut self) {
        while let Some(read) = self.reads.pop_front() {
            self.pass_over(&read);
        }
    }

    /// Takes what belongs to a request, which is on the server's clock. Requests come in the order of
    /// their bytes.
    pub fn take(&mut self, request: &Request) -> Result<Found, Missing> {
        if request.first_byte < self.reached {
            return Err(Missing::OutOfOrder);
        }
        // Reads that ended before the request's first byte belong to nobody in the log.
        while let Some(read) = self.reads.front()
            && read_end(read) <= request.first_byte
        {
            let read = *read;
            self.reads.pop_front();
            self.pass_over(&read);
        }
        let mut reads = Reads::of(request);
        while let Some(read) = self.reads.front().copied() {
            match reads.add(&read) {
                Use::Up => {}
                Use::Unused => self.pass_over(&read),
                Use::AndKeep | Use::Not => break,
            }
            self.reads.pop_front();
        }
        self.reached = request.end_byte;
        if !reads.is_complete() {
            return Err(if self.has_unknown_offset {
                Missing::UnknownOffset
            } else {
                Missing::Lost
            });
        }
        while self
            .writes
            .front()
            .is_some_and(|write| write.enter_ns < reads.last_exit_ns)
        {
            self.writes.pop_front();
        }
        // The client cannot have had the response before the server began to write it. What comes later
        // is another request's.
        let answer = self
            .writes
            .front()
            .filter(|write| write.enter_ns <= request.done_ns);
        Ok(reads.found(answer))
    }
}

/// What becomes of a read when it is offered to a request.
enum Use {
    /// It belongs to the request.
    Up,
    /// It belongs to it, and to the next one.
    AndKeep,
    /// It belongs to nobody.
    Unused,
    /// It belongs to a later one.
    Not,
}

/// The reads of one request, added up.
struct Reads<'r> {
    request: &'r Request,
    /// Bytes up to here were found without a gap.
    reached: u64,
    has_gap: bool,
    is_shared: bool,
    calls: u32,
    hook_overhead_ns: u64,
    syscall_ns: u64,
    waited_ns: u64,
    first_enter_ns: u64,
    first_exit_ns: u64,
    last_exit_ns: u64,
}

impl<'r> Reads<'r> {
    fn of(request: &'r Request) -> Self {
        Self {
            request,
            reached: request.first_byte,
            has_gap: false,
            is_shared: false,
            calls: 0,
            hook_overhead_ns: 0,
            syscall_ns: 0,
            waited_ns: 0,
            first_enter_ns: 0,
            first_exit_ns: 0,
            last_exit_ns: 0,
        }
    }

    fn add(&mut self, read: &ReadSpan) -> Use {
        let Request {
            first_byte,
            end_byte,
            done_ns,
            ..
        } = *self.request;
        if read.returned <= 0 {
            // Nothing there yet, or the end of the stream. Before the first byte the server was looking
            // for the request; after the response nobody waited for it.
            if self.last_exit_ns == 0 {
                return Use::Unused;
            }
            if read.exit_ns > done_ns {
                return Use::Not;
            }
            self.count(read);
            return Use::Up;
        }
        if read.first_byte >= end_byte {
            return Use::Not;
        }
        self.has_gap |= read.first_byte > self.reached;
        let end = read_end(read);
        self.reached = self.reached.max(end);
        let starts_before = read.first_byte < first_byte;
        self.is_shared |= starts_before || end > end_byte;
        if self.last_exit_ns == 0 {
            self.first_exit_ns = read.exit_ns;
        }
        self.last_exit_ns = read.exit_ns;
        // The cost of a shared read was counted with the request that it began with.
        if !starts_before {
            self.count(read);
        }
        if end > end_byte {
            Use::AndKeep
        } else {
            Use::Up
        }
    }

    fn count(&mut self, read: &ReadSpan) {
        if self.calls == 0 {
            self.first_enter_ns = read.enter_ns;
        }
        self.calls += 1;
        self.hook_overhead_ns += read.hook_overhead_ns();
        if read.syscall_exit_ns != 0 {
            // What a blocking server waited before the request was sent is no part of its response time.
            let sent_ns = self.request.sent_ns;
            let from_ns = read.syscall_enter_ns.max(sent_ns);
            self.syscall_ns += read.syscall_exit_ns.saturating_sub(from_ns);
            let until_ns = read.syscall_exit_ns.min(sent_ns);
            self.waited_ns += until_ns.saturating_sub(read.syscall_enter_ns);
        }
    }

    fn is_complete(&self) -> bool {
        !self.has_gap && self.reached >= self.request.end_byte
    }

    fn found(&self, answer: Option<&WriteSpan>) -> Found {
        let request = self.request;
        let lifetime = request.sent_ns..=request.done_ns;
        let is_within =
            lifetime.contains(&self.first_exit_ns) && lifetime.contains(&self.last_exit_ns);
        let last_before_done_ns = answer.map_or(self.last_exit_ns, |write| write.enter_ns);
        let shared = if self.is_shared {
            JoinedRequest::SHARED
        } else {
            0
        };
        Found {
            joined: JoinedRequest {
                sequence: request.sequence,
                arm: request.arm,
                flags: request.flags | shared,
                block: request.block,
                calls: self.calls,
                request_bytes: request.end_byte - request.first_byte,
                hook_overhead_ns: self.hook_overhead_ns,
                read_syscall_ns: self.syscall_ns,
                waited_ns: self.waited_ns,
                application_ns: answer.map_or(0, |write| write.enter_ns - self.last_exit_ns),
                write_syscall_ns: answer.map_or(0, |write| write.exit_ns - write.enter_ns),
                response_time_ns: request.response_time_ns(),
                first_read_enter_ns: self.first_enter_ns,
                last_read_exit_ns: self.last_exit_ns,
            },
            is_within,
            bounds: Bounds {
                low_ns: difference(last_before_done_ns, request.done_ns),
                high_ns: difference(self.first_exit_ns, request.sent_ns),
            },
        }
    }
}

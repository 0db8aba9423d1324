//! One connection: requests out, their responses in, each with its instant.

use std::collections::VecDeque;
use std::io::{self, IoSlice, Read as _, Write as _};
use std::net::SocketAddr;
use std::sync::Arc;

use mio::net::TcpStream;
use runlog::record::{ClientConnection, Outcome, Request};

use crate::clock::monotonic_ns;
use crate::request::Message;
use crate::response::{End, Failure, Reader, Response};

/// Bytes asked for in one read.
const READ_SIZE: usize = 64 * 1024;
/// Reads in one turn of a connection, so that a server that sends without end does not keep the others
/// from having theirs.
const READS_PER_TURN: usize = 16;
/// Requests handed to one write.
const MAX_BATCH: usize = 32;

/// What the connections of a client share: room for what is read, and the requests that have ended.
#[derive(Debug)]
pub struct Inbox {
    buffer: Box<[u8]>,
    /// Requests that have ended, well or not, in the order of their ending. Whoever calls takes them out.
    pub ended: Vec<Request>,
}

impl Inbox {
    /// An empty one.
    pub fn new() -> Self {
        Self {
            buffer: vec![0; READ_SIZE].into(),
            ended: Vec::new(),
        }
    }
}

/// A connection to an arm. Its requests are under way in the order of sending, and are answered in that
/// order.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    log: ClientConnection,
    is_connected: bool,
    /// No request may follow those that are under way.
    is_last_sent: bool,
    /// The server has closed its side.
    server_closed: bool,
    /// The most requests under way.
    depth: usize,
    under_way: VecDeque<UnderWay>,
    /// What the socket has not taken yet: messages, and how much of the first is gone.
    unsent: VecDeque<Arc<[u8]>>,
    first_unsent: usize,
    /// Offset behind the last byte that was queued.
    queued_bytes: u64,
    reader: Reader,
}

/// A request that waits for its response.
#[derive(Debug)]
struct UnderWay {
    request: Request,
    /// It is a HEAD request.
    expects_no_body: bool,
    /// It asks the server to close the connection after it.
    is_last: bool,
}

/// What something done with a connection led to.
#[derive(Debug)]
pub enum Step {
    /// All that has arrived is read. The poll tells when the socket is ready again.
    Waiting,
    /// More may have arrived, which the poll does not tell again: to be gone on with by `on_ready` when
    /// other connections have had their turn.
    Unread,
    /// The connection carries no more requests, and none is under way: close it.
    Over,
    /// It never came to be: close it.
    NotConnected(io::Error),
}

impl Connection {
    /// Begins to connect. `depth` requests may be under way at a time. `log` says whose connection it
    /// is; port and instants are filled in here.
    pub fn open(address: SocketAddr, depth: usize, mut log: ClientConnection) -> io::Result<Self> {
        log.opening_ns = monotonic_ns();
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        log.local_port = stream.local_addr()?.port();
        let mut connection = Self {
            stream,
            log,
            is_connected: false,
            is_last_sent: false,
            server_closed: false,
            depth,
            under_way: VecDeque::with_capacity(depth),
            unsent: VecDeque::new(),
            first_unsent: 0,
            queued_bytes: 0,
            reader: Reader::default(),
        };
        // On the same machine it is there by now, and waiting for the poll would take a call more.
        connection.finish_connecting()?;
        Ok(connection)
    }

    /// The socket, for registration with a poll: for reading and writing, by edges.
    pub fn source(&mut self) -> &mut TcpStream {
        &mut self.stream
    }

    /// Whether it is there.
    pub fn is_connected(&self) -> bool {
        self.is_connected
    }

    /// Whether another request may be queued now.
    pub fn can_send(&self) -> bool {
        self.is_connected && !self.is_last_sent && self.under_way.len() < self.depth
    }

    /// Puts a request behind those under way. `request` carries arm (but in a trial), block, sequence, flags and, if
    /// it was planned, the instant for which; the rest is filled in. It is sent by the next `flush`: to be
    /// called soon, as several requests then take one call to the kernel.
    pub fn queue(&mut self, mut request: Request, message: &mut Message) {
        request.connection = self.log.connection;
        request.local_port = self.log.local_port;
        request.first_byte = self.queued_bytes;
        let bytes = message.take(&mut request);
        self.queued_bytes += bytes.len() as u64;
        request.end_byte = self.queued_bytes;
        request.sent_ns = 0;
        self.unsent.push_back(bytes);
        self.is_last_sent |= message.is_last();
        self.under_way.push_back(UnderWay {
            request,
            expects_no_body: message.expects_no_body(),
            is_last: message.is_last(),
        });
    }

    /// Sends what is queued.
    pub fn flush(&mut self, inbox: &mut Inbox) -> Step {
        let is_blocked = self.first_unsent > 0;
        let now_ns = monotonic_ns();
        for UnderWay { request, .. } in self.under_way.iter_mut().rev() {
            if request.sent_ns != 0 {
                break;
            }
            request.sent_ns = now_ns;
            if request.planned_ns == 0 {
                request.planned_ns = now_ns;
            }
        }
        if is_blocked {
            return Step::Waiting; // the poll tells when the socket takes more
        }
        self.write(inbox)
    }

    /// Goes on after the poll said that the socket is ready, and whether the server has closed its side.
    pub fn on_ready(&mut self, server_closed: bool, inbox: &mut Inbox) -> Step {
        self.server_closed |= server_closed;
        if !self.is_connected {
            match self.finish_connecting() {
                Ok(true) => {}
                Ok(false) => return Step::Waiting,
                Err(error) => return Step::NotConnected(error),
            }
        }
        if !self.unsent.is_empty()
            && let step @ Step::Over = self.write(inbox)
        {
            return step;
        }
        self.read(inbox)
    }

    /// Gives up on the connection if its first request was sent before `sent_before_ns`, or if it was
    /// begun before and is not there yet.
    pub fn expire(&mut self, sent_before_ns: u64, inbox: &mut Inbox) -> Step {
        if !self.is_connected && self.log.opening_ns < sent_before_ns {
            return Step::NotConnected(io::ErrorKind::TimedOut.into());
        }
        let Some(UnderWay { request, .. }) = self.under_way.front() else {
            return Step::Waiting;
        };
        if request.sent_ns >= sent_before_ns {
            return Step::Waiting;
        }
        let outcome = if request.end_byte > self.log.sent_bytes {
            Outcome::TimedOutSending
        } else if self.reader.has_begun() {
            Outcome::TimedOutInResponse
        } else {
            Outcome::TimedOutUnanswered
        };
        self.end_first(outcome, monotonic_ns(), inbox);
        let is_due = |UnderWay { request, .. }: &UnderWay| request.sent_ns < sent_before_ns;
        while self.under_way.front().is_some_and(is_due) {
            self.end_first(Outcome::TimedOutUnanswered, monotonic_ns(), inbox);
        }
        self.over(inbox)
    }

    /// Ends the requests under way as left unfinished by a cut of the run at `now_ns`.
    pub fn cut(&mut self, now_ns: u64, inbox: &mut Inbox) {
        while !self.under_way.is_empty() {
            self.end_first(Outcome::Unfinished, now_ns, inbox);
        }
    }

    /// Closes the connection and returns its log row.
    pub fn close(self) -> ClientConnection {
        let Self {
            stream, mut log, ..
        } = self;
        drop(stream);
        log.closed_ns = monotonic_ns();
        log
    }

    /// Whether it is connected now.
    fn finish_connecting(&mut self) -> io::Result<bool> {
        match self.stream.peer_addr() {
            Ok(_) => self.is_connected = true,
            Err(error) if error.kind() == io::ErrorKind::NotConnected => {
                if let Some(error) = self.stream.take_error()? {
                    return Err(error);
                }
            }
            Err(error) => return Err(error),
        }
        Ok(self.is_connected)
    }

    /// Writes what is queued, as far as the socket takes it.
    fn write(&mut self, inbox: &mut Inbox) -> Step {
        while let Some(first) = self.unsent.front() {
            let first = &first[self.first_unsent..];
            let result = if self.unsent.len() == 1 {
                self.stream.write(first)
            } else {
                let mut slices = [IoSlice::new(&[]); MAX_BATCH];
                slices[0] = IoSlice::new(first);
                let others = self.unsent.iter().skip(1);
                for (slice, message) in slices[1..].iter_mut().zip(others) {
                    *slice = IoSlice::new(message);
                }
                let count = self.unsent.len().min(MAX_BATCH);
                self.stream.write_vectored(&slices[..count])
            };
            match result {
                Ok(count) => self.count_sent(count),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Step::Waiting,
                Err(_) => return self.fail_to_send(inbox),
            }
        }
        Step::Waiting
    }

    fn count_sent(&mut self, count: usize) {
        self.log.sent_bytes += count as u64;
        self.first_unsent += count;
        while let Some(first) = self.unsent.front()
            && self.first_unsent >= first.len()
        {
            self.first_unsent -= first.len();
            self.unsent.pop_front();
        }
    }

    /// The server may have answered, and closed the connection, before it has read all of the request.
    fn fail_to_send(&mut self, inbox: &mut Inbox) -> Step {
        self.server_closed = true;
        loop {
            match self.read(inbox) {
                Step::Unread => {}
                Step::Over => return Step::Over,
                Step::Waiting | Step::NotConnected(_) => {
                    return self.fail(Outcome::SendFailed, inbox);
                }
            }
        }
    }

    /// Reads what has arrived.
    fn read(&mut self, inbox: &mut Inbox) -> Step {
        let mut buffer = std::mem::take(&mut inbox.buffer);
        let step = self.read_into(&mut buffer, inbox);
        inbox.buffer = buffer;
        step
    }

    fn read_into(&mut self, buffer: &mut [u8], inbox: &mut Inbox) -> Step {
        for _ in 0..READS_PER_TURN {
            match self.stream.read(buffer) {
                Ok(0) => return self.end_of_stream(inbox),
                Ok(count) => {
                    let now_ns = monotonic_ns();
                    if let step @ Step::Over = self.take(&buffer[..count], now_ns, inbox) {
                        return step;
                    }
                    // The poll reports edges. A short read has drained the socket, but for the end of
                    // the stream, which would not be reported again.
                    if count < buffer.len() && !self.server_closed {
                        return Step::Waiting;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Step::Waiting,
                Err(error) => {
                    let outcome = if error.kind() == io::ErrorKind::TimedOut {
                        Outcome::TimedOutUnanswered // the kernel has given up on the other side
                    } else {
                        Outcome::Reset
                    };
                    return self.fail(outcome, inbox);
                }
            }
        }
        Step::Unread
    }

    /// Takes bytes that were read: the end of one response, or of several, or of none.
    fn take(&mut self, mut bytes: &[u8], now_ns: u64, inbox: &mut Inbox) -> Step {
        while !bytes.is_empty() {
            let Some(first) = self.under_way.front() else {
                // Bytes that nobody asked for spoil the connection.
                return Step::Over;
            };
            match self.reader.read(bytes, first.expects_no_body) {
                Ok((used, response)) => {
                    bytes = &bytes[used..];
                    if let Some(response) = response
                        && let step @ Step::Over = self.complete(response, now_ns, inbox)
                    {
                        return step;
                    }
                }
                Err(failure) => return self.fail(outcome_of(failure), inbox),
            }
        }
        Step::Waiting
    }

    /// The first request has its response.
    fn complete(&mut self, response: Response, now_ns: u64, inbox: &mut Inbox) -> Step {
        let Some(first) = self.under_way.front_mut() else {
            return Step::Over;
        };
        first.request.status = response.status;
        // An answer to a request that is not yet sent in full leaves the rest of it to nobody.
        let is_sent = first.request.end_byte <= self.log.sent_bytes;
        let is_reusable = response.keep_alive && !first.is_last && is_sent;
        self.end_first(Outcome::of_status(response.status), now_ns, inbox);
        if is_reusable {
            Step::Waiting
        } else {
            self.over(inbox)
        }
    }

    fn end_of_stream(&mut self, inbox: &mut Inbox) -> Step {
        let Some(first) = self.under_way.front() else {
            return Step::Over;
        };
        match self.reader.end(first.expects_no_body) {
            Ok(End::Complete(response)) => {
                let _ = self.complete(response, monotonic_ns(), inbox);
                self.over(inbox)
            }
            Ok(End::Unanswered) => self.fail(Outcome::ClosedUnanswered, inbox),
            Ok(End::CutOff) => self.fail(Outcome::ClosedInResponse, inbox),
            Err(failure) => self.fail(outcome_of(failure), inbox),
        }
    }

    /// The first request has failed, and the connection with it.
    fn fail(&mut self, outcome: Outcome, inbox: &mut Inbox) -> Step {
        let is_broken = matches!(outcome, Outcome::ClosedUnanswered | Outcome::Reset);
        let is_sent = |first: &UnderWay| first.request.end_byte <= self.log.sent_bytes;
        let outcome = if is_broken && !self.under_way.front().is_none_or(is_sent) {
            Outcome::SendFailed
        } else {
            outcome
        };
        self.end_first(outcome, monotonic_ns(), inbox);
        self.over(inbox)
    }

    /// The connection ends; requests behind the one that it ended with are cut off.
    fn over(&mut self, inbox: &mut Inbox) -> Step {
        let now_ns = monotonic_ns();
        while !self.under_way.is_empty() {
            self.end_first(Outcome::PipelineCutOff, now_ns, inbox);
        }
        Step::Over
    }

    fn end_first(&mut self, outcome: Outcome, now_ns: u64, inbox: &mut Inbox) {
        if let Some(UnderWay { mut request, .. }) = self.under_way.pop_front() {
            request.done_ns = now_ns;
            request.outcome = outcome as u8;
            inbox.ended.push(request);
        }
    }
}

/// What becomes of a request that has no connection to be sent on.
pub fn outcome_of_connecting(error: &io::Error) -> Outcome {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => Outcome::ConnectRefused,
        io::ErrorKind::TimedOut => Outcome::ConnectTimedOut,
        _ => Outcome::ConnectFailed,
    }
}

fn outcome_of(failure: Failure) -> Outcome {
    match failure {
        Failure::MalformedHead => Outcome::MalformedHead,
        Failure::HeadTooLarge => Outcome::HeadTooLarge,
        Failure::BadChunk => Outcome::BadChunk,
    }
}

#[cfg(test)]
mod tests;

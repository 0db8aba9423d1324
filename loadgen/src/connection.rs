//! One connection: a request out, its response in, each with its instant.

use std::io::{self, Read as _, Write as _};
use std::net::SocketAddr;
use std::time::Duration;

use mio::net::TcpStream;
use runlog::record::{ClientConnection, Outcome, Request};

use crate::clock::monotonic_ns;
use crate::response::{Progress, progress};

/// Bytes asked for in one read.
const READ_SIZE: usize = 64 * 1024;
/// The largest response that is waited for.
const MAX_RESPONSE: usize = 64 * 1024 * 1024;

/// An open connection to an arm.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    log: ClientConnection,
    received: Vec<u8>,
    filled: usize,
    pending: Option<Pending>,
}

/// The request that waits for its response, and how much of it is not yet sent.
#[derive(Debug)]
struct Pending {
    request: Request,
    unsent: Vec<u8>,
}

/// What an event on a connection led to.
#[derive(Debug)]
pub enum Step {
    /// Nothing is complete yet.
    Waiting,
    /// The request has ended, well or not.
    Done {
        request: Request,
        /// Whether the connection can carry another request.
        reusable: bool,
    },
}

impl Connection {
    /// Connects, waiting at most `timeout`. `log` says whose connection it is; port and instants
    /// are filled in here.
    pub fn open(
        address: SocketAddr,
        timeout: Duration,
        mut log: ClientConnection,
    ) -> io::Result<Self> {
        log.opening_ns = monotonic_ns();
        let stream = std::net::TcpStream::connect_timeout(&address, timeout)?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        log.local_port = stream.local_addr()?.port();
        Ok(Self {
            stream: TcpStream::from_std(stream),
            log,
            received: vec![0; READ_SIZE],
            filled: 0,
            pending: None,
        })
    }

    /// The socket, for registration with a poll.
    pub fn source(&mut self) -> &mut TcpStream {
        &mut self.stream
    }

    /// Sends a request. `request` carries arm, block, sequence and flags; the rest is filled in.
    pub fn send(&mut self, mut request: Request, bytes: &[u8]) -> Step {
        request.connection = self.log.connection;
        request.local_port = self.log.local_port;
        request.first_byte = self.log.sent_bytes;
        request.end_byte = request.first_byte + bytes.len() as u64;
        request.sent_ns = monotonic_ns();
        request.planned_ns = request.sent_ns;
        let written = self.stream.write(bytes);
        let unsent = match written {
            Ok(count) => {
                self.log.sent_bytes += count as u64;
                bytes[count..].to_vec() // empty, and no allocation, but for a full socket buffer
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => bytes.to_vec(),
            Err(_) => return ended(request, Outcome::SendFailed, false),
        };
        self.pending = Some(Pending { request, unsent });
        Step::Waiting
    }

    /// Goes on with the pending request after the poll said that the socket is ready, and whether the
    /// server has closed its side.
    pub fn on_ready(&mut self, server_closed: bool) -> Step {
        let Some(pending) = &mut self.pending else {
            return Step::Waiting;
        };
        if !pending.unsent.is_empty() {
            match self.stream.write(&pending.unsent) {
                Ok(count) => {
                    self.log.sent_bytes += count as u64;
                    pending.unsent.drain(..count);
                }
                Err(error) if is_transient(&error) => {}
                Err(_) => return self.end(Outcome::SendFailed),
            }
        }
        loop {
            if self.filled == self.received.len() {
                if self.filled >= MAX_RESPONSE {
                    return self.end(Outcome::Malformed);
                }
                self.received.resize(2 * self.filled, 0);
            }
            let room = self.received.len() - self.filled;
            match self.stream.read(&mut self.received[self.filled..]) {
                Ok(0) => return self.end(Outcome::Closed),
                Ok(count) => {
                    let now_ns = monotonic_ns();
                    self.filled += count;
                    if let Some(step) = self.take_response(now_ns) {
                        return step;
                    }
                    // The poll reports edges. A short read has drained the socket, but for the end of
                    // the stream, which would not be reported again.
                    if count < room && !server_closed {
                        return Step::Waiting;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Step::Waiting,
                Err(_) => return self.end(Outcome::Closed),
            }
        }
    }

    /// Ends the pending request as timed out if it was sent before `sent_before_ns`.
    pub fn expire(&mut self, sent_before_ns: u64) -> Step {
        match &self.pending {
            Some(pending) if pending.request.sent_ns < sent_before_ns => {
                self.end(Outcome::TimedOut)
            }
            _ => Step::Waiting,
        }
    }

    /// The pending request, if there is one, as left unfinished by a cut of the run at `now_ns`.
    pub fn cut(&mut self, now_ns: u64) -> Option<Request> {
        let mut request = self.pending.take()?.request;
        request.done_ns = now_ns;
        request.outcome = Outcome::Unfinished as u8;
        Some(request)
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

    fn take_response(&mut self, now_ns: u64) -> Option<Step> {
        match progress(&self.received[..self.filled]) {
            Progress::Incomplete => None,
            Progress::Malformed => Some(self.end(Outcome::Malformed)),
            Progress::Complete {
                status,
                length,
                keep_alive,
            } => {
                let mut request = self.pending.take()?.request;
                request.done_ns = now_ns;
                request.status = status;
                let success = (200..300).contains(&status);
                request.outcome = if success {
                    Outcome::Ok
                } else {
                    Outcome::NotSuccess
                } as u8;
                // Bytes behind a response that nobody asked for spoil the connection.
                let reusable = keep_alive && length == self.filled;
                self.filled = 0;
                Some(Step::Done { request, reusable })
            }
        }
    }

    fn end(&mut self, outcome: Outcome) -> Step {
        match self.pending.take() {
            Some(Pending { request, .. }) => ended(request, outcome, false),
            None => Step::Waiting,
        }
    }
}

fn ended(mut request: Request, outcome: Outcome, reusable: bool) -> Step {
    request.done_ns = monotonic_ns();
    request.outcome = outcome as u8;
    Step::Done { request, reusable }
}

fn is_transient(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
    )
}

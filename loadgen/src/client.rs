//! The closed loop: each connection sends its next request when the response to the last is
//! complete.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use mio::{Events, Interest, Poll, Token};
use runlog::record::{ClientConnection, Request};
use runlog::table::TableWriter;

use crate::clock::{CONNECT_PATIENCE, TICK, monotonic_ns};
use crate::connection::{Connection, Inbox, Step, outcome_of_connecting};
use crate::plan::Block;
use crate::request::Requests;

/// The logs that a client writes.
#[derive(Debug)]
pub struct Logs {
    /// One row a request.
    pub requests: TableWriter<Request>,
    /// One row a connection.
    pub connections: TableWriter<ClientConnection>,
}

/// Where the rows of a block go.
pub trait Log {
    /// Takes a request that has ended.
    fn request(&mut self, request: &Request) -> runlog::Result<()>;
    /// Takes a connection that was closed.
    fn connection(&mut self, connection: &ClientConnection) -> runlog::Result<()>;
}

impl Log for Logs {
    fn request(&mut self, request: &Request) -> runlog::Result<()> {
        self.requests.push(request)
    }

    fn connection(&mut self, connection: &ClientConnection) -> runlog::Result<()> {
        self.connections.push(connection)
    }
}

impl Logs {
    /// Writes what is buffered, so that even SIGKILL would lose no more than a block.
    pub fn flush(&mut self) -> runlog::Result<()> {
        self.requests.flush()?;
        self.connections.flush()
    }
}

/// Why a run ended early.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CutShort {
    /// The stop flag was raised.
    Stopped,
    /// An arm does not accept connections any more.
    ArmGone(String),
}

/// How a block ended.
pub type BlockEnd = Result<(), CutShort>;

/// Where the requests of a block go.
#[derive(Debug)]
pub struct ArmTarget {
    /// Name, for messages.
    pub name: String,
    /// Address.
    pub address: SocketAddr,
    /// The requests.
    pub requests: Requests,
}

/// A block with its numbers in the run.
#[derive(Clone, Copy, Debug)]
pub struct Numbered {
    /// Number of the block.
    pub number: u32,
    /// Number of its first request.
    pub first_sequence: u64,
    /// The block.
    pub block: Block,
}

/// Runs blocks, one after the other.
#[derive(Debug)]
pub struct Client {
    poll: Poll,
    events: Events,
    inbox: Inbox,
    /// Connections at a time.
    connections: usize,
    timeout: Duration,
    stop: Arc<AtomicBool>,
    next_connection: Arc<AtomicU32>,
}

impl Client {
    /// A client that holds `connections` at a time and gives a response at most `timeout`. It numbers
    /// its connections from `next_connection`, which several clients may share.
    pub fn new(
        connections: usize,
        timeout: Duration,
        stop: Arc<AtomicBool>,
        next_connection: Arc<AtomicU32>,
    ) -> io::Result<Self> {
        Ok(Self {
            poll: Poll::new()?,
            events: Events::with_capacity(connections.min(1024)),
            inbox: Inbox::new(),
            connections,
            timeout,
            stop,
            next_connection,
        })
    }

    /// Runs one block on connections of its own and closes them. Its requests are numbered from
    /// `first_sequence`. `on_request` is told of each request that has ended. Requests that a cut leaves
    /// under way are logged as unfinished.
    pub fn run_block(
        &mut self,
        target: &mut ArmTarget,
        Numbered {
            number,
            first_sequence,
            block,
        }: Numbered,
        log: &mut dyn Log,
        on_request: &mut dyn FnMut(&Request),
    ) -> anyhow::Result<BlockEnd> {
        let slots = self
            .connections
            .min(usize::try_from(block.requests).unwrap_or(usize::MAX));
        let mut run = BlockRun {
            client: self,
            target,
            number,
            first_sequence,
            block,
            log,
            on_request,
            sent: 0,
            done: 0,
            unreachable_since_ns: None,
        };
        let mut open: Vec<Option<Connection>> = Vec::new();
        open.resize_with(slots, || None);
        let end = run.drive(&mut open)?;
        let cut_ns = monotonic_ns();
        for mut connection in open.into_iter().flatten() {
            connection.cut(cut_ns, &mut run.client.inbox);
            run.log_ended()?;
            run.log.connection(&connection.close())?;
        }
        Ok(end)
    }
}

/// A block in progress.
struct BlockRun<'b> {
    client: &'b mut Client,
    target: &'b mut ArmTarget,
    number: u32,
    first_sequence: u64,
    block: Block,
    log: &'b mut dyn Log,
    on_request: &'b mut dyn FnMut(&Request),
    sent: u64,
    done: u64,
    /// Since when no connection could be opened.
    unreachable_since_ns: Option<u64>,
}

impl BlockRun<'_> {
    fn drive(&mut self, open: &mut [Option<Connection>]) -> anyhow::Result<BlockEnd> {
        for (slot, place) in open.iter_mut().enumerate() {
            match self.connect(slot)? {
                Ok(connection) => *place = Some(connection),
                Err(cut_short) => return Ok(Err(cut_short)),
            }
        }
        for slot in 0..open.len() {
            if let Err(cut_short) = self.advance(Step::Waiting, slot, open)? {
                return Ok(Err(cut_short));
            }
        }
        let mut ready = Vec::new();
        let mut unread: Vec<usize> = Vec::new();
        let mut next_tick_ns = monotonic_ns() + as_ns(TICK);
        while self.done < self.block.requests {
            let patience = if unread.is_empty() {
                TICK
            } else {
                Duration::ZERO
            };
            match self
                .client
                .poll
                .poll(&mut self.client.events, Some(patience))
            {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error).context("cannot poll the connections"),
            }
            if self.client.stop.load(Ordering::Relaxed) {
                return Ok(Err(CutShort::Stopped));
            }
            ready.clear();
            ready.extend(unread.drain(..).map(|slot| (slot, false)));
            let events = self.client.events.iter();
            ready.extend(events.map(|event| (event.token().0, event.is_read_closed())));
            for &(slot, server_closed) in &ready {
                let step = match &mut open[slot] {
                    Some(connection) => connection.on_ready(server_closed, &mut self.client.inbox),
                    None => Step::Waiting,
                };
                if matches!(step, Step::Unread) {
                    unread.push(slot);
                }
                if let Err(cut_short) = self.advance(step, slot, open)? {
                    return Ok(Err(cut_short));
                }
            }
            let now_ns = monotonic_ns();
            if now_ns >= next_tick_ns {
                next_tick_ns = now_ns + as_ns(TICK);
                let sent_before_ns = now_ns.saturating_sub(as_ns(self.client.timeout));
                for slot in 0..open.len() {
                    let step = match &mut open[slot] {
                        Some(connection) => {
                            connection.expire(sent_before_ns, &mut self.client.inbox)
                        }
                        None => Step::Waiting,
                    };
                    if let Err(cut_short) = self.advance(step, slot, open)? {
                        return Ok(Err(cut_short));
                    }
                }
            }
        }
        Ok(Ok(()))
    }

    /// Logs the requests that have ended, and sends the next ones on their connection or on a new one.
    fn advance(
        &mut self,
        mut step: Step,
        slot: usize,
        open: &mut [Option<Connection>],
    ) -> anyhow::Result<BlockEnd> {
        loop {
            self.log_ended()?;
            match step {
                Step::Waiting | Step::Unread => {}
                Step::Over => self.discard(slot, open)?,
                Step::NotConnected(error) => {
                    self.discard(slot, open)?;
                    if let Err(cut_short) = self.wait_to_connect(&error)? {
                        return Ok(Err(cut_short));
                    }
                }
            }
            if self.sent == self.block.requests {
                return Ok(Ok(()));
            }
            if open[slot].is_none() {
                match self.connect(slot)? {
                    Ok(connection) => open[slot] = Some(connection),
                    Err(cut_short) => return Ok(Err(cut_short)),
                }
            }
            let Some(connection) = &mut open[slot] else {
                return Ok(Ok(()));
            };
            if !connection.can_send() {
                return Ok(Ok(()));
            }
            self.unreachable_since_ns = None;
            while connection.can_send() && self.sent < self.block.requests {
                let mut request = self.next_request();
                let (variant, message) = self.target.requests.next();
                request.variant = variant;
                connection.queue(request, message);
            }
            step = connection.flush(&mut self.client.inbox);
        }
    }

    fn log_ended(&mut self) -> anyhow::Result<()> {
        for request in self.client.inbox.ended.drain(..) {
            self.log.request(&request)?;
            self.done += 1;
            (self.on_request)(&request);
        }
        Ok(())
    }

    fn next_request(&mut self) -> Request {
        let mut flags = 0;
        if self.sent < self.block.warmup {
            flags |= Request::WARMUP;
        }
        if self.block.observed {
            flags |= Request::OBSERVED;
        }
        let sequence = self.first_sequence + self.sent;
        self.sent += 1;
        Request {
            sequence,
            arm: self.block.arm,
            flags,
            block: self.number,
            ..Request::default()
        }
    }

    fn discard(&mut self, slot: usize, open: &mut [Option<Connection>]) -> anyhow::Result<()> {
        if let Some(mut connection) = open[slot].take() {
            self.client
                .poll
                .registry()
                .deregister(connection.source())?;
            self.log.connection(&connection.close())?;
        }
        Ok(())
    }

    /// Opens the connection of a slot.
    fn connect(&mut self, slot: usize) -> anyhow::Result<Result<Connection, CutShort>> {
        let number = self.client.next_connection.fetch_add(1, Ordering::Relaxed);
        loop {
            let log = ClientConnection {
                connection: number,
                arm: self.block.arm,
                block: self.number,
                ..ClientConnection::default()
            };
            match Connection::open(self.target.address, 1, log) {
                Ok(mut connection) => {
                    self.client
                        .poll
                        .registry()
                        .register(
                            connection.source(),
                            Token(slot),
                            Interest::READABLE | Interest::WRITABLE,
                        )
                        .context("cannot poll a connection")?;
                    return Ok(Ok(connection));
                }
                Err(error) => {
                    if let Err(cut_short) = self.wait_to_connect(&error)? {
                        return Ok(Err(cut_short));
                    }
                }
            }
        }
    }

    /// A server that restarts is given some time to come back. Then the request that was to be sent has
    /// failed, and the arm is gone.
    fn wait_to_connect(&mut self, error: &io::Error) -> anyhow::Result<BlockEnd> {
        if self.client.stop.load(Ordering::Relaxed) {
            return Ok(Err(CutShort::Stopped));
        }
        let now_ns = monotonic_ns();
        let since_ns = *self.unreachable_since_ns.get_or_insert(now_ns);
        if now_ns - since_ns < as_ns(CONNECT_PATIENCE) {
            std::thread::sleep(TICK);
            return Ok(Ok(()));
        }
        let mut request = self.next_request();
        request.planned_ns = since_ns;
        request.sent_ns = since_ns;
        request.done_ns = now_ns;
        request.outcome = outcome_of_connecting(error) as u8;
        self.client.inbox.ended.push(request);
        self.log_ended()?;
        let ArmTarget { name, address, .. } = &self.target;
        let reason = format!("arm {name}: cannot connect to {address}: {error}");
        Ok(Err(CutShort::ArmGone(reason)))
    }
}

fn as_ns(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use runlog::RunDirectory;
    use runlog::record::Outcome;
    use runlog::table::read_all;

    use super::*;
    use crate::request::RequestOptions;
    use crate::target::Arm;

    #[test]
    fn a_cut_logs_the_requests_under_way() {
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
            address: silent.local_addr().unwrap(),
            requests: RequestOptions::default().requests(&arm, false, 0).unwrap(),
        };
        let block = Block {
            arm: 0,
            observed: false,
            requests: 10,
            warmup: 0,
            server: 0,
        };
        let stop = Arc::new(AtomicBool::new(true));
        let mut client = Client::new(3, Duration::from_mins(1), stop, Arc::default()).unwrap();
        let block = Numbered {
            number: 0,
            first_sequence: 0,
            block,
        };
        let end = client.run_block(&mut target, block, &mut logs, &mut |_| {});
        let before_ns = monotonic_ns();
        assert_eq!(end.unwrap(), Err(CutShort::Stopped));
        logs.requests.finish().unwrap();
        logs.connections.finish().unwrap();

        let requests: Vec<Request> = read_all(run.requests()).unwrap();
        assert_eq!(requests.len(), 3, "one a connection was sent");
        for request in &requests {
            assert_eq!(request.outcome, Outcome::Unfinished as u8);
            assert_eq!(
                request.done_ns, requests[0].done_ns,
                "the cut is one instant"
            );
            assert!(request.sent_ns < request.done_ns && request.done_ns <= before_ns);
        }
        let sent: u64 = read_all::<ClientConnection>(run.client_connections())
            .unwrap()
            .iter()
            .map(|connection| connection.sent_bytes)
            .sum();
        let logged: u64 = requests.iter().map(|r| r.end_byte - r.first_byte).sum();
        assert_eq!(sent, logged);
    }
}

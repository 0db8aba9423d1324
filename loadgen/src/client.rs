//! One block after the other: its connections, its pace, its end.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32};
use std::time::Duration;

use mio::{Events, Poll, Token};
use runlog::record::{ClientConnection, Request};
use runlog::table::TableWriter;

use crate::block::{BlockRun, Times, Waiting};
use crate::clock::{as_ns, monotonic_ns};
use crate::connection::Inbox;
use crate::pace::{Pace, Pacing};
use crate::pacer::Lateness;
use crate::plan::Block;
use crate::request::Requests;
use crate::slots::Slots;
use crate::timer::Timer;

/// The timer's token: no place has this number.
const TIMER: Token = Token(usize::MAX - 1);
/// The warm-up of a block that lasts for a time takes this part of it at most.
const WARMUP_SHARE: u64 = 8;

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
    /// Numbers of the arms that its requests are of: in a trial all, otherwise one.
    pub arms: Range<u16>,
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
    /// From a request's number to that of the next.
    pub step: u64,
    /// The block.
    pub block: Block,
}

/// How a client sends.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Connections at a time.
    pub connections: usize,
    /// Requests that a connection may have under way.
    pub pipeline: usize,
    /// When requests are sent.
    pub pacing: Pacing,
    /// How long a response may take.
    pub timeout: Duration,
    /// How long a block may go on, at the end of its time, for what is under way.
    pub drain: Duration,
    /// Whether to ask the kernel again and again instead of sleeping.
    pub spin: bool,
    /// Seed of what is drawn.
    pub seed: u64,
}

/// What a block came to.
#[derive(Debug)]
pub struct BlockReport {
    /// How it ended.
    pub end: BlockEnd,
    /// Requests that got a number.
    pub requests: u64,
    /// Open loop: when the plan began, when the block ended, and how the plan was kept.
    pub pacer: Option<BlockPacer>,
    /// Attempts to connect that failed, by kind.
    pub failed_connects: BTreeMap<&'static str, u64>,
}

/// How the plan of a block was kept.
#[derive(Clone, Debug)]
pub struct BlockPacer {
    /// When the plan began.
    pub start_ns: u64,
    /// When the block ended.
    pub end_ns: u64,
    /// What the pacer saw.
    pub lateness: Lateness,
}

/// Runs blocks, one after the other.
#[derive(Debug)]
pub struct Client {
    waiting: Waiting,
    inbox: Inbox,
    settings: Settings,
    next_connection: Arc<AtomicU32>,
}

impl Client {
    /// A client that numbers its connections from `next_connection`, which several clients may share.
    pub fn new(
        settings: Settings,
        stop: Arc<AtomicBool>,
        next_connection: Arc<AtomicU32>,
    ) -> io::Result<Self> {
        let poll = Poll::new()?;
        let timer = Timer::new(poll.registry(), TIMER)?;
        Ok(Self {
            waiting: Waiting {
                poll,
                events: Events::with_capacity(settings.connections.clamp(16, 1024)),
                timer,
                spin: settings.spin,
                stop,
            },
            inbox: Inbox::new(),
            settings,
            next_connection,
        })
    }

    /// Runs one block on connections of its own and closes them. `on_request` is told of each request that
    /// has ended. Requests that the end of the block leaves under way are logged as unfinished, and those
    /// that became due and found no connection as unsent.
    pub fn run_block(
        &mut self,
        target: &mut ArmTarget,
        numbered: Numbered,
        log: &mut dyn Log,
        on_request: &mut dyn FnMut(&Request),
    ) -> anyhow::Result<BlockReport> {
        let Numbered { number, block, .. } = numbered;
        let Settings {
            connections,
            pipeline,
            pacing,
            timeout,
            drain,
            seed,
            ..
        } = self.settings;
        let count = connections.min(usize::try_from(block.requests).unwrap_or(usize::MAX));
        let begun = ClientConnection {
            arm: block.arm,
            block: number,
            ..ClientConnection::default()
        };
        let next_connection = Arc::clone(&self.next_connection);
        let mut run = BlockRun {
            waiting: &mut self.waiting,
            slots: Slots::new(count, target.address, pipeline, begun, next_connection),
            target,
            numbered,
            log,
            on_request,
            times: Times {
                end_ns: u64::MAX,
                warmup_end_ns: u64::MAX,
                drain_ns: as_ns(drain),
                timeout_ns: as_ns(timeout),
            },
            pace: pacing.start(seed, number, block.requests, 0, u64::MAX),
            wanting: vec![pipeline; count],
            free: VecDeque::with_capacity(count),
            is_free: vec![false; count],
            numbered_requests: 0,
            under_way: 0,
            unread: Vec::new(),
            inbox: &mut self.inbox,
        };
        let mut end = run.open_all()?;
        let start_ns = monotonic_ns();
        if end.is_ok() {
            let end_ns = start_ns.saturating_add(block.time_ns.unwrap_or(u64::MAX));
            run.times.end_ns = end_ns;
            if block.requests == u64::MAX {
                let time_ns = block.time_ns.unwrap_or(u64::MAX);
                run.times.warmup_end_ns = start_ns.saturating_add(time_ns / WARMUP_SHARE);
            }
            run.pace = pacing.start(seed, number, block.requests, start_ns, end_ns);
            end = run.drive()?;
        }
        run.end()?;
        Ok(BlockReport {
            end,
            requests: run.numbered_requests,
            failed_connects: std::mem::take(&mut run.slots.failed),
            pacer: match run.pace {
                Pace::Closed(_) => None,
                Pace::Open(open) => Some(BlockPacer {
                    start_ns,
                    end_ns: monotonic_ns(),
                    lateness: open.lateness,
                }),
            },
        })
    }
}

#[cfg(test)]
mod tests;

//! The connections of a block: opened without waiting for one another, and opened anew when they end.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::Context as _;
use mio::{Interest, Registry, Token};
use runlog::record::ClientConnection;

use crate::clock::{CONNECT_PATIENCE, TICK, as_ns, monotonic_ns};
use crate::connection::{Connection, outcome_of_connecting};

/// Connections that are being opened at a time. More would overflow the queue of a listening socket, and
/// the kernel makes the next attempt a second later.
const MAX_OPENING: usize = 100;

/// A place for one connection.
#[derive(Debug)]
enum Slot {
    /// None. The next attempt is to be made at this instant.
    Vacant { retry_ns: u64 },
    /// One that is there, or being opened.
    Taken {
        connection: Connection,
        is_open: bool,
    },
}

/// The places of a block.
#[derive(Debug)]
pub struct Slots {
    slots: Vec<Slot>,
    address: SocketAddr,
    /// Requests that each may have under way.
    pipeline: usize,
    /// What every connection's log row begins as.
    log: ClientConnection,
    next_connection: Arc<AtomicU32>,
    opening: usize,
    open: usize,
    /// Since when attempts have been made without any success.
    failing_since_ns: Option<u64>,
    /// When the last connection that was open ended.
    none_open_since_ns: u64,
    /// Why the last attempt failed.
    last_failure: Option<io::Error>,
    /// Attempts that failed, by kind.
    pub failed: BTreeMap<&'static str, u64>,
}

impl Slots {
    /// `count` places, all vacant.
    pub fn new(
        count: usize,
        address: SocketAddr,
        pipeline: usize,
        log: ClientConnection,
        next_connection: Arc<AtomicU32>,
    ) -> Self {
        Self {
            slots: (0..count).map(|_| Slot::Vacant { retry_ns: 0 }).collect(),
            address,
            pipeline,
            log,
            next_connection,
            opening: 0,
            open: 0,
            failing_since_ns: None,
            none_open_since_ns: 0,
            last_failure: None,
            failed: BTreeMap::new(),
        }
    }

    /// How many places there are.
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whether every place has its connection.
    pub fn are_all_open(&self) -> bool {
        self.open == self.slots.len()
    }

    /// The connection of a place, open or being opened.
    pub fn connection(&mut self, slot: usize) -> Option<&mut Connection> {
        match self.slots.get_mut(slot) {
            Some(Slot::Taken { connection, .. }) => Some(connection),
            _ => None,
        }
    }

    /// Whether a place can take another request.
    pub fn can_send(&self, slot: usize) -> bool {
        match self.slots.get(slot) {
            Some(Slot::Taken { connection, .. }) => connection.can_send(),
            _ => false,
        }
    }

    /// Begins to open connections where there are none and it is time to. Calls `opened` with places that
    /// have theirs at once.
    pub fn open_vacant(
        &mut self,
        registry: &Registry,
        now_ns: u64,
        opened: &mut Vec<usize>,
    ) -> anyhow::Result<()> {
        if self.open + self.opening == self.slots.len() {
            return Ok(());
        }
        if self.opening > 0 {
            self.failing_since_ns.get_or_insert(now_ns);
        }
        for slot in 0..self.slots.len() {
            if matches!(self.slots[slot], Slot::Vacant { retry_ns } if retry_ns <= now_ns)
                && self.begin(slot, registry)?
            {
                opened.push(slot);
            }
        }
        Ok(())
    }

    /// Begins to open the connection of a vacant place, unless too many are being opened. Returns whether
    /// it is open already.
    pub fn begin(&mut self, slot: usize, registry: &Registry) -> anyhow::Result<bool> {
        if self.opening >= MAX_OPENING {
            return Ok(false);
        }
        let now_ns = monotonic_ns();
        self.failing_since_ns.get_or_insert(now_ns);
        let log = ClientConnection {
            connection: self.next_connection.fetch_add(1, Ordering::Relaxed),
            ..self.log
        };
        match Connection::open(self.address, self.pipeline, log) {
            Ok(mut connection) => {
                let interest = Interest::READABLE | Interest::WRITABLE;
                registry
                    .register(connection.source(), Token(slot), interest)
                    .context("cannot poll a connection")?;
                self.opening += 1;
                self.slots[slot] = Slot::Taken {
                    connection,
                    is_open: false,
                };
                Ok(self.note_opened(slot))
            }
            Err(error) => {
                self.count_failure(slot, error, now_ns);
                Ok(false)
            }
        }
    }

    /// Notes that a place's connection is there, if it is and was not before. Returns whether that is so.
    pub fn note_opened(&mut self, slot: usize) -> bool {
        let Some(Slot::Taken {
            connection,
            is_open: is_open @ false,
        }) = self.slots.get_mut(slot)
        else {
            return false;
        };
        if !connection.is_connected() {
            return false;
        }
        *is_open = true;
        self.opening -= 1;
        self.open += 1;
        self.failing_since_ns = None;
        true
    }

    /// Notes that a place's connection could not be opened. The next attempt is made after a while.
    pub fn note_failure(&mut self, slot: usize, error: io::Error) {
        let now_ns = monotonic_ns();
        drop(self.take(slot, now_ns));
        self.count_failure(slot, error, now_ns);
    }

    /// Takes a connection that has ended out of its place.
    pub fn take(&mut self, slot: usize, retry_ns: u64) -> Option<Connection> {
        let vacant = Slot::Vacant { retry_ns };
        match std::mem::replace(&mut self.slots[slot], vacant) {
            Slot::Taken {
                connection,
                is_open,
            } => {
                if is_open {
                    self.open -= 1;
                    if self.open == 0 {
                        self.none_open_since_ns = monotonic_ns();
                    }
                } else {
                    self.opening -= 1;
                }
                Some(connection)
            }
            Slot::Vacant { .. } => None,
        }
    }

    /// Whether attempts have been made for a while without any success.
    pub fn are_stuck(&self, now_ns: u64) -> bool {
        self.failing_since_ns
            .is_some_and(|ns| is_long_ago(ns, now_ns))
    }

    /// Why the arm counts as gone: there has been no connection for a while, and none could be opened.
    pub fn why_gone(&self, now_ns: u64) -> Option<String> {
        let is_gone = self.open == 0
            && is_long_ago(self.none_open_since_ns, now_ns)
            && self.are_stuck(now_ns);
        is_gone.then(|| match &self.last_failure {
            Some(error) => error.to_string(),
            None => "no answer".to_owned(),
        })
    }

    fn count_failure(&mut self, slot: usize, error: io::Error, now_ns: u64) {
        self.slots[slot] = Slot::Vacant {
            retry_ns: now_ns + as_ns(TICK),
        };
        let kind = outcome_of_connecting(&error).name();
        *self.failed.entry(kind).or_insert(0) += 1;
        self.last_failure = Some(error);
    }
}

fn is_long_ago(instant_ns: u64, now_ns: u64) -> bool {
    now_ns.saturating_sub(instant_ns) >= as_ns(CONNECT_PATIENCE)
}

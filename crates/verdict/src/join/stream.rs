//! The join of one group, request by request.
//!
//! A read's record is made before the hook returns, so before the response is written, so before the
//! client has it. So once the span log has been read up to the instant at which a request was done, and on by
//! as much as rows of the log are late, all its reads are known; what lies beyond is read when a later
//! request asks for it.

use std::collections::HashMap;

use runlog::analysis::Join;
use runlog::record::{ReadSpan, Request, WriteSpan};

use crate::join::cause;
use crate::join::clock::Bounds;
use crate::join::request::{Connection, Found, Missing};
use crate::join::source::Rows;

/// What is known of the connections of a group.
#[derive(Debug, Default)]
pub struct Known {
    /// The server's identity by the client's number.
    pub identities: HashMap<u32, u64>,
    /// Why others have none, by the client's number.
    pub causes: HashMap<u32, &'static str>,
}

/// A join that goes on.
#[derive(Debug)]
pub struct Stream<'k> {
    known: &'k Known,
    connections: HashMap<u64, Connection>,
    /// Reads with bytes on connections that are not known.
    foreign_reads: u64,
    bounds: Bounds,
}

impl<'k> Stream<'k> {
    /// Begins.
    pub fn new(known: &'k Known) -> Self {
        let identities = known.identities.values();
        Self {
            known,
            connections: identities
                .map(|identity| (*identity, Connection::default()))
                .collect(),
            foreign_reads: 0,
            bounds: Bounds::UNKNOWN,
        }
    }

    /// Reads as much of the span log as a request that was done at that instant needs.
    pub fn read_up_to(&mut self, done_ns: u64, rows: &mut Rows, number: u32) -> runlog::Result<()> {
        let until_ns = done_ns.saturating_add(rows.look_ahead_ns);
        while rows
            .reads
            .peek_of(number)?
            .is_some_and(|read| read.exit_ns <= until_ns)
            && let Some(read) = rows.reads.next_of(number)?
        {
            self.push_read(read);
        }
        while rows
            .writes
            .peek_of(number)?
            .is_some_and(|write| write.enter_ns <= until_ns)
            && let Some(write) = rows.writes.next_of(number)?
        {
            self.push_write(write);
        }
        Ok(())
    }

    /// Adds a read. Those of unknown connections are counted and forgotten.
    pub fn push_read(&mut self, read: ReadSpan) {
        match self.connections.get_mut(&read.connection) {
            Some(connection) => connection.push_read(read),
            None => self.foreign_reads += u64::from(read.returned > 0),
        }
    }

    /// Adds a write.
    pub fn push_write(&mut self, write: WriteSpan) {
        if let Some(connection) = self.connections.get_mut(&write.connection) {
            connection.push_write(write);
        }
    }

    /// Joins a request, which is on the server's clock; the error is the cause if it cannot be joined.
    pub fn request(&mut self, request: &Request) -> Result<Found, &'static str> {
        let identity = self.known.identities.get(&request.connection);
        let connection = identity.and_then(|identity| self.connections.get_mut(identity));
        let found = match connection {
            Some(connection) => connection.take(request).map_err(|missing| match missing {
                Missing::OutOfOrder => cause::OUT_OF_ORDER,
                Missing::Lost => cause::LOST,
                Missing::UnknownOffset => cause::OLDER,
            }),
            None => Err(self
                .known
                .causes
                .get(&request.connection)
                .copied()
                .unwrap_or(cause::NOT_SEEN)),
        };
        if !request.is_ok() {
            return Err(cause::FAILED);
        }
        if let Ok(found) = &found
            && found.is_within
        {
            self.bounds = self.bounds.and(found.bounds);
        }
        found
    }

    /// What the requests that fit allow the clocks' offset to be, since this was asked last.
    pub fn take_bounds(&mut self) -> Bounds {
        std::mem::replace(&mut self.bounds, Bounds::UNKNOWN)
    }

    /// Counts what no request asked for, in what was read and in the rest of the group.
    pub fn finish(mut self, rows: &mut Rows, number: u32, join: &mut Join) -> runlog::Result<()> {
        for connection in self.connections.values_mut() {
            connection.finish();
        }
        while let Some(read) = rows.reads.next_of(number)? {
            match self.connections.get_mut(&read.connection) {
                Some(connection) => connection.pass_over(&read),
                None => self.foreign_reads += u64::from(read.returned > 0),
            }
        }
        join.reads_without_request += self.foreign_reads;
        for connection in self.connections.values() {
            join.reads_without_request += connection.reads_of_nobody;
            join.reads_after_done += connection.empty_reads;
        }
        Ok(())
    }
}

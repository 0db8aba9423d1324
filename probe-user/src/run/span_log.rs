//! The span log: the probes' records as the tables of the run directory.

use runlog::RunDirectory;
use runlog::record::{ReadSpan, ServerConnection, WriteSpan};
use runlog::table::TableWriter;

use crate::probes::records::Record;

/// The open tables.
#[derive(Debug)]
pub struct SpanLog {
    reads: TableWriter<ReadSpan>,
    writes: TableWriter<WriteSpan>,
    connections: TableWriter<ServerConnection>,
}

impl SpanLog {
    /// Creates the tables.
    pub fn create(run: &RunDirectory) -> runlog::Result<Self> {
        Ok(Self {
            reads: TableWriter::create(run.reads())?,
            writes: TableWriter::create(run.writes())?,
            connections: TableWriter::create(run.server_connections())?,
        })
    }

    /// Appends a record that was made while `attach` was the attach in force.
    pub fn push(&mut self, attach: u32, record: Record) -> runlog::Result<()> {
        match record {
            Record::HookedRead(read) => self.reads.push(&ReadSpan {
                connection: read.connection,
                arm: arm(read.arm),
                keyword: bits(read.call_word, 32),
                attach,
                tid: read.tid,
                fd: descriptor(read.call_word),
                first_byte: read.first_byte,
                returned: read.returned,
                enter_ns: read.enter_ns,
                inner_exit_ns: read.inner_exit_ns,
                exit_ns: read.exit_ns,
                syscall_enter_ns: read.syscall_enter_ns,
                syscall_exit_ns: read.syscall_exit_ns,
            }),
            Record::Write(write) => self.writes.push(&WriteSpan {
                connection: write.connection,
                arm: arm(write.arm),
                attach,
                tid: write.tid,
                returned: write.returned,
                enter_ns: write.enter_ns,
                exit_ns: write.exit_ns,
            }),
            Record::Accepted(accepted) => self.connections.push(&ServerConnection {
                connection: accepted.connection,
                arm: arm(accepted.arm),
                peer_port: u16::try_from(accepted.peer_port).unwrap_or(0),
                attach,
                fd: accepted.fd,
                accepted_ns: accepted.accepted_ns,
            }),
            Record::Closed(_) => Ok(()),
        }
    }

    /// Writes what is buffered, so that even SIGKILL would lose no more than a block.
    pub fn flush(&mut self) -> runlog::Result<()> {
        self.reads.flush()?;
        self.writes.flush()?;
        self.connections.flush()
    }

    /// Completes the tables.
    pub fn finish(self) -> runlog::Result<()> {
        self.reads.finish()?;
        self.writes.finish()?;
        self.connections.finish()?;
        Ok(())
    }
}

fn arm(arm: u32) -> u16 {
    u16::try_from(arm).unwrap_or(u16::MAX)
}

/// Sixteen bits of a call word.
fn bits(call_word: u64, shift: u32) -> u16 {
    u16::try_from(call_word >> shift & 0xffff).unwrap_or(0)
}

fn descriptor(call_word: u64) -> i32 {
    let low = u32::try_from(call_word & 0xffff_ffff).unwrap_or(0);
    low.cast_signed()
}

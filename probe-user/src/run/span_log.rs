//! The span log: the probes' records as the tables of the run directory.

use std::collections::BTreeMap;
use std::path::Path;

use abi::{Accepted, Closed, FunctionCall, HookedRead, ReadSyscall, Write};
use runlog::RunDirectory;
use runlog::record::{
    FunctionSpan, ReadSpan, ReadSyscallSpan, ServerClose, ServerConnection, WriteSpan,
};
use runlog::table::TableWriter;

use probes::records::Record;

/// The open tables.
#[derive(Debug)]
pub struct SpanLog {
    reads: TableWriter<ReadSpan>,
    writes: TableWriter<WriteSpan>,
    connections: TableWriter<ServerConnection>,
    closes: TableWriter<ServerClose>,
    unhooked: Option<Unhooked>,
}

/// The tables of spans that no hook reports.
#[derive(Debug)]
struct Unhooked {
    read_syscalls: TableWriter<ReadSyscallSpan>,
    functions: TableWriter<FunctionSpan>,
}

impl SpanLog {
    /// Creates the tables of what hooks report.
    pub fn create(run: &RunDirectory) -> runlog::Result<Self> {
        Ok(Self {
            reads: TableWriter::create(run.reads())?,
            writes: TableWriter::create(run.writes())?,
            connections: TableWriter::create(run.server_connections())?,
            closes: TableWriter::create(run.server_closes())?,
            unhooked: None,
        })
    }

    /// Creates these tables, and those of what the kernel alone sees.
    pub fn create_with_unhooked(run: &RunDirectory) -> runlog::Result<Self> {
        let unhooked = Unhooked {
            read_syscalls: TableWriter::create(run.read_syscalls())?,
            functions: TableWriter::create(run.functions())?,
        };
        Ok(Self {
            unhooked: Some(unhooked),
            ..Self::create(run)?
        })
    }

    /// Appends a record that was made while `attach` was the attach in force.
    pub fn push(&mut self, attach: u32, record: Record) -> runlog::Result<()> {
        match record {
            Record::HookedRead(read) => {
                if let Some(syscall) = read.read_syscall() {
                    self.push(attach, Record::ReadSyscall(syscall))?;
                }
                self.reads.push(&read_row(attach, &read))
            }
            Record::Write(write) => self.writes.push(&write_row(attach, &write)),
            Record::Accepted(accepted) => self.connections.push(&accepted_row(attach, &accepted)),
            Record::Closed(closed) => self.closes.push(&closed_row(attach, &closed)),
            Record::ReadSyscall(read) => match &mut self.unhooked {
                Some(tables) => tables.read_syscalls.push(&syscall_row(attach, &read)),
                None => Ok(()),
            },
            Record::FunctionCall(call) => match &mut self.unhooked {
                Some(tables) => tables.functions.push(&function_row(attach, &call)),
                None => Ok(()),
            },
        }
    }

    /// Rows so far, by name of the file.
    pub fn rows(&self, run: &RunDirectory) -> BTreeMap<String, u64> {
        let mut rows = vec![
            (run.reads(), self.reads.rows()),
            (run.writes(), self.writes.rows()),
            (run.server_connections(), self.connections.rows()),
            (run.server_closes(), self.closes.rows()),
        ];
        if let Some(tables) = &self.unhooked {
            rows.push((run.read_syscalls(), tables.read_syscalls.rows()));
            rows.push((run.functions(), tables.functions.rows()));
        }
        let name = |path: &Path| path.file_name().map(|name| name.to_string_lossy().into());
        rows.into_iter()
            .filter_map(|(path, rows)| Some((name(&path)?, rows)))
            .collect()
    }

    /// Writes what is buffered, so that even SIGKILL would lose no more than a block.
    pub fn flush(&mut self) -> runlog::Result<()> {
        self.reads.flush()?;
        self.writes.flush()?;
        self.connections.flush()?;
        self.closes.flush()?;
        if let Some(tables) = &mut self.unhooked {
            tables.read_syscalls.flush()?;
            tables.functions.flush()?;
        }
        Ok(())
    }

    /// Completes the tables.
    pub fn finish(self) -> runlog::Result<()> {
        self.reads.finish()?;
        self.writes.finish()?;
        self.connections.finish()?;
        self.closes.finish()?;
        if let Some(tables) = self.unhooked {
            tables.read_syscalls.finish()?;
            tables.functions.finish()?;
        }
        Ok(())
    }
}

fn read_row(attach: u32, read: &HookedRead) -> ReadSpan {
    ReadSpan {
        connection: read.connection,
        arm: arm(read.arm),
        keyword: bits(read.call_word, 32),
        attach,
        tid: read.tid(),
        fd: read.fd(),
        first_byte: read.first_byte,
        returned: read.returned,
        enter_ns: read.enter_ns,
        inner_exit_ns: read.inner_exit_ns,
        exit_ns: read.exit_ns,
        syscall_enter_ns: read.syscall_enter_ns,
        syscall_exit_ns: read.syscall_exit_ns,
        function: read.call_word.to_le_bytes()[6],
    }
}

fn write_row(attach: u32, write: &Write) -> WriteSpan {
    WriteSpan {
        connection: write.connection,
        arm: arm(write.arm),
        attach,
        tid: write.tid,
        returned: write.returned,
        enter_ns: write.enter_ns,
        exit_ns: write.exit_ns,
    }
}

fn accepted_row(attach: u32, accepted: &Accepted) -> ServerConnection {
    ServerConnection {
        connection: accepted.connection,
        arm: arm(accepted.arm),
        peer_port: u16::try_from(accepted.peer_port).unwrap_or(0),
        attach,
        fd: accepted.fd,
        accepted_ns: accepted.accepted_ns,
    }
}

fn closed_row(attach: u32, closed: &Closed) -> ServerClose {
    ServerClose {
        connection: closed.connection,
        arm: arm(closed.arm),
        attach,
        fd: closed.fd,
        closed_ns: closed.closed_ns,
        received_bytes: closed.received,
    }
}

fn syscall_row(attach: u32, read: &ReadSyscall) -> ReadSyscallSpan {
    ReadSyscallSpan {
        arm: arm(read.arm),
        attach,
        tgid: read.tgid,
        tid: read.tid,
        fd: read.fd,
        returned: read.returned,
        enter_ns: read.enter_ns,
        exit_ns: read.exit_ns,
    }
}

fn function_row(attach: u32, call: &FunctionCall) -> FunctionSpan {
    FunctionSpan {
        arm: arm(call.arm),
        attach,
        tgid: call.tgid,
        tid: call.tid,
        enter_ns: call.enter_ns,
        exit_ns: call.exit_ns,
    }
}

fn arm(arm: u32) -> u16 {
    u16::try_from(arm).unwrap_or(u16::MAX)
}

/// Sixteen bits of a call word.
fn bits(call_word: u64, shift: u32) -> u16 {
    u16::try_from(call_word >> shift & 0xffff).unwrap_or(0)
}

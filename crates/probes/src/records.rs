//! The records of the ring buffer, out of their bytes.

use abi::plain::{self, Plain};
use abi::{
    Accepted, Closed, EVENT_ACCEPTED, EVENT_CLOSED, EVENT_FUNCTION_CALL, EVENT_HOOKED_READ,
    EVENT_HOOKED_READ_AND_SYSCALL, EVENT_READ_SYSCALL, EVENT_WRITE, FunctionCall, HookedRead,
    ReadSyscall, Write,
};

/// A record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Record {
    /// A call of the hooked `read` on a connection.
    HookedRead(HookedRead),
    /// A call of the write family on a tracked connection.
    Write(Write),
    /// A connection was accepted.
    Accepted(Accepted),
    /// A connection was closed.
    Closed(Closed),
    /// A call of `read(2)`.
    ReadSyscall(ReadSyscall),
    /// A call of the function named by `--symbol`.
    FunctionCall(FunctionCall),
}

impl Record {
    /// Number of the arm whose process made it.
    pub fn arm(&self) -> u32 {
        match self {
            Self::HookedRead(read) => read.arm,
            Self::Write(write) => write.arm,
            Self::Accepted(accepted) => accepted.arm,
            Self::Closed(closed) => closed.arm,
            Self::ReadSyscall(read) => read.arm,
            Self::FunctionCall(call) => call.arm,
        }
    }

    /// The same under another number of its arm.
    pub fn of_arm(mut self, number: u32) -> Self {
        let arm = match &mut self {
            Self::HookedRead(read) => &mut read.arm,
            Self::Write(write) => &mut write.arm,
            Self::Accepted(accepted) => &mut accepted.arm,
            Self::Closed(closed) => &mut closed.arm,
            Self::ReadSyscall(read) => &mut read.arm,
            Self::FunctionCall(call) => &mut call.arm,
        };
        *arm = number;
        self
    }

    /// How many spans it is of.
    pub fn spans(&self) -> u64 {
        match self {
            Self::HookedRead(read) if read.read_syscall().is_some() => 2,
            _ => 1,
        }
    }
}

/// The record that `bytes` begin with, and the bytes behind it; `None` when it is none that this version
/// knows.
pub fn parse(bytes: &[u8]) -> Option<(Record, &[u8])> {
    let kind = u32::from_ne_bytes(bytes.get(..4)?.try_into().ok()?);
    match kind {
        EVENT_HOOKED_READ | EVENT_HOOKED_READ_AND_SYSCALL => read_as(bytes, Record::HookedRead),
        EVENT_WRITE => read_as(bytes, Record::Write),
        EVENT_ACCEPTED => read_as(bytes, Record::Accepted),
        EVENT_CLOSED => read_as(bytes, Record::Closed),
        EVENT_READ_SYSCALL => read_as(bytes, Record::ReadSyscall),
        EVENT_FUNCTION_CALL => read_as(bytes, Record::FunctionCall),
        _ => None,
    }
}

fn read_as<T: Plain>(bytes: &[u8], record: fn(T) -> Record) -> Option<(Record, &[u8])> {
    plain::read(bytes).map(|(plain, behind)| (record(plain), behind))
}

#[cfg(test)]
mod tests;

//! The records of the ring buffer. Each starts with its kind, a `u32`.

use zerocopy::{FromBytes, IntoBytes};

/// [`HookedRead::kind`].
pub const EVENT_HOOKED_READ: u32 = 1;
/// [`Write::kind`].
pub const EVENT_WRITE: u32 = 2;
/// [`Accepted::kind`].
pub const EVENT_ACCEPTED: u32 = 3;
/// [`Closed::kind`].
pub const EVENT_CLOSED: u32 = 4;
/// [`ReadSyscall::kind`].
pub const EVENT_READ_SYSCALL: u32 = 5;
/// [`FunctionCall::kind`].
pub const EVENT_FUNCTION_CALL: u32 = 6;
/// [`HookedRead::kind`]: the record stands for the `read(2)` inside, too, which has none of its own.
pub const EVENT_HOOKED_READ_AND_SYSCALL: u32 = 7;

/// Offset of a connection that was not seen from its start.
pub const UNKNOWN_OFFSET: u64 = u64::MAX;

/// One call of the hooked `read` on a connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes)]
#[repr(C)]
pub struct HookedRead {
    /// [`EVENT_HOOKED_READ`] or [`EVENT_HOOKED_READ_AND_SYSCALL`].
    pub kind: u32,
    /// Arm of the process.
    pub arm: u32,
    /// Process and thread, as `bpf_get_current_pid_tgid` has them.
    pub pid_tgid: u64,
    /// The hook's identity of the connection.
    pub connection: u64,
    /// The site's first argument: descriptor (bits 0-31), rank of the matched keyword plus one
    /// (32-47), function (48-55).
    pub call_word: u64,
    /// Offset in the connection of the first byte returned, or [`UNKNOWN_OFFSET`].
    pub first_byte: u64,
    /// What `read` returned.
    pub returned: i64,
    /// Hook entered.
    pub enter_ns: u64,
    /// The inner `read` returned.
    pub inner_exit_ns: u64,
    /// Hook about to return.
    pub exit_ns: u64,
    /// `read(2)` entered in the kernel; 0 without a kernel probe.
    pub syscall_enter_ns: u64,
    /// `read(2)` left in the kernel; 0 without a kernel probe.
    pub syscall_exit_ns: u64,
}

impl HookedRead {
    /// The record that its `read(2)` would have had, where it stands for that, too.
    pub const fn read_syscall(&self) -> Option<ReadSyscall> {
        if self.kind != EVENT_HOOKED_READ_AND_SYSCALL {
            return None;
        }
        Some(ReadSyscall {
            kind: EVENT_READ_SYSCALL,
            arm: self.arm,
            tgid: (self.pid_tgid >> 32) as u32,
            tid: self.tid(),
            returned: self.returned,
            enter_ns: self.syscall_enter_ns,
            exit_ns: self.syscall_exit_ns,
            fd: self.fd(),
            reserved: 0,
        })
    }

    /// Thread.
    #[allow(clippy::cast_possible_truncation, reason = "the lower half is meant")]
    pub const fn tid(&self) -> u32 {
        self.pid_tgid as u32
    }

    /// Descriptor.
    #[allow(clippy::cast_possible_truncation, reason = "the lower half is meant")]
    pub const fn fd(&self) -> i32 {
        self.call_word as i32
    }
}

/// One call of the write family on a tracked connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes)]
#[repr(C)]
pub struct Write {
    /// [`EVENT_WRITE`].
    pub kind: u32,
    /// Arm of the process.
    pub arm: u32,
    /// Process.
    pub tgid: u32,
    /// Thread.
    pub tid: u32,
    /// The hook's identity of the connection.
    pub connection: u64,
    /// What the call returned.
    pub returned: i64,
    /// Entered in the kernel.
    pub enter_ns: u64,
    /// Left in the kernel.
    pub exit_ns: u64,
}

/// A connection was accepted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes)]
#[repr(C)]
pub struct Accepted {
    /// [`EVENT_ACCEPTED`].
    pub kind: u32,
    /// Arm of the process.
    pub arm: u32,
    /// Process.
    pub tgid: u32,
    /// The server's descriptor.
    pub fd: i32,
    /// The hook's identity of the connection.
    pub connection: u64,
    /// When `accept` had returned.
    pub accepted_ns: u64,
    /// Address family of the peer, 0 when not known.
    pub family: u32,
    /// TCP port of the peer, 0 when not known.
    pub peer_port: u32,
}

/// A connection was closed by the server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes)]
#[repr(C)]
pub struct Closed {
    /// [`EVENT_CLOSED`].
    pub kind: u32,
    /// Arm of the process.
    pub arm: u32,
    /// Process.
    pub tgid: u32,
    /// The server's descriptor.
    pub fd: i32,
    /// The hook's identity of the connection.
    pub connection: u64,
    /// When.
    pub closed_ns: u64,
    /// Bytes that were read from it, or [`UNKNOWN_OFFSET`].
    pub received: u64,
}

/// One call of `read(2)`, whatever it read from and whoever made it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes)]
#[repr(C)]
pub struct ReadSyscall {
    /// [`EVENT_READ_SYSCALL`].
    pub kind: u32,
    /// Arm of the process.
    pub arm: u32,
    /// Process.
    pub tgid: u32,
    /// Thread.
    pub tid: u32,
    /// What the call returned.
    pub returned: i64,
    /// Entered in the kernel.
    pub enter_ns: u64,
    /// Left in the kernel.
    pub exit_ns: u64,
    /// The descriptor.
    pub fd: i32,
    /// Not used, and 0: a record has no bytes that nobody wrote.
    pub reserved: u32,
}

/// One call of the function named by `--symbol`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes)]
#[repr(C)]
pub struct FunctionCall {
    /// [`EVENT_FUNCTION_CALL`].
    pub kind: u32,
    /// Arm of the process.
    pub arm: u32,
    /// Process.
    pub tgid: u32,
    /// Thread.
    pub tid: u32,
    /// Entered.
    pub enter_ns: u64,
    /// Returned.
    pub exit_ns: u64,
}

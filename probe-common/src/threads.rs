//! What the eBPF programs remember between probe hits.

/// Threads that can be followed at once.
pub const MAX_THREADS: u32 = 1 << 14;

/// [`Thread::state`]: nothing is going on.
pub const IDLE: u32 = 0;
/// [`Thread::state`]: inside `read(2)`.
pub const IN_READ: u32 = 1;
/// [`Thread::state`]: `read(2)` has returned; its span waits for the hook's site.
pub const READ_DONE: u32 = 2;
/// [`Thread::state`]: inside a write on a tracked connection.
pub const IN_WRITE: u32 = 3;

/// What a traced thread is doing. A thread is in at most one syscall at a time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Thread {
    /// One of the constants above.
    pub state: u32,
    /// Arm of the process.
    pub arm: u32,
    /// Descriptor of the syscall.
    pub fd: i32,
    /// Process: the number of a thread that has ended may be given to one of another process.
    pub tgid: u32,
    /// Syscall entered.
    pub enter_ns: u64,
    /// Syscall left.
    pub exit_ns: u64,
    /// What the syscall returned.
    pub returned: i64,
    /// The connection that a write goes to.
    pub connection: u64,
}

impl Thread {
    /// Whether a thread is inside a syscall that is being timed.
    #[inline(always)]
    #[allow(clippy::inline_always, reason = "eBPF programs are one function each")]
    #[must_use]
    pub const fn is_busy(&self) -> bool {
        matches!(self.state, IN_READ | IN_WRITE)
    }
}

/// A descriptor of a process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct ConnectionKey {
    /// Process.
    pub tgid: u32,
    /// Descriptor.
    pub fd: i32,
}

/// An open connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Connection {
    /// The hook's identity of it: a descriptor that is used again has another.
    pub identity: u64,
    /// Bytes that reads have returned so far, or [`crate::UNKNOWN_OFFSET`].
    pub received: u64,
}

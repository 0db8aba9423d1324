//! What the eBPF programs remember between probe hits: of processes, threads and connections.
//!
//! Each table has slots, found by the low bits of a number without a hash: in a program, a look into them
//! is two instructions, and into a hash table a call. What finds its slot taken by another is in a
//! hash table behind.

use zerocopy::{FromBytes, IntoBytes};

use crate::records::{EVENT_READ_SYSCALL, ReadSyscall};

/// Threads that can be followed at once, besides those in slots.
pub const MAX_THREADS: u32 = 1 << 14;
/// Slots of threads.
pub const THREAD_SLOTS: u32 = 1 << 14;
/// Processes that can be traced.
pub const MAX_TARGETS: u32 = 1 << 10;
/// Slots of traced processes.
pub const TARGET_SLOTS: u32 = 1 << 12;
/// Connections that can be followed at once, besides those in slots.
pub const MAX_CONNECTIONS: u32 = 1 << 16;
/// Slots of connections.
pub const CONNECTION_SLOTS: u32 = 1 << 14;

/// A slot of traced processes. An empty one has the number 0, which no process has that makes system
/// calls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes)]
#[repr(C)]
pub struct Target {
    /// The process.
    pub tgid: u32,
    /// Its arm.
    pub arm: u32,
    /// Whether other processes would have had this slot too; they are in the hash table.
    pub is_shared: u32,
    /// Whether it has a hook loaded, whose site tells which reads are the hook's.
    pub has_hook: u32,
}

impl Target {
    /// The slot of a process.
    #[inline(always)]
    #[allow(clippy::inline_always, reason = "eBPF programs are one function each")]
    pub const fn slot_of(tgid: u32) -> u32 {
        tgid & (TARGET_SLOTS - 1)
    }
}

/// [`Thread::state`]: nothing is going on.
pub const IDLE: u32 = 0;
/// [`Thread::state`]: inside `read(2)`.
pub const IN_READ: u32 = 1;
/// [`Thread::state`]: `read(2)` has returned; its span waits for the hook's site. If no site claims it, the
/// thread's next read, tracked write or end adds it to the others that no hook made; or the agent does.
pub const READ_DONE: u32 = 2;
/// [`Thread::state`]: inside a write on a tracked connection.
pub const IN_WRITE: u32 = 3;

/// What a traced thread is doing. A thread is in at most one syscall at a time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes)]
#[repr(C)]
pub struct Thread {
    /// Process and thread, as `bpf_get_current_pid_tgid` has them; 0 in an empty slot. The number of a thread
    /// that has ended may be given to one of another process.
    pub pid_tgid: u64,
    /// One of the constants above.
    pub state: u32,
    /// Arm of the process.
    pub arm: u32,
    /// Descriptor of the syscall.
    pub fd: i32,
    /// Its lane plus one; 0 when it has none.
    pub lane: u32,
    /// Syscall entered.
    pub enter_ns: u64,
    /// Syscall left.
    pub exit_ns: u64,
    /// What the syscall returned.
    pub returned: i64,
    /// The connection that a write goes to.
    pub connection: u64,
    /// Not used: a slot is a cache line.
    pub reserved: u64,
}

impl Thread {
    /// The thread.
    #[inline(always)]
    #[allow(clippy::inline_always, reason = "eBPF programs are one function each")]
    #[allow(clippy::cast_possible_truncation, reason = "the lower half is meant")]
    pub const fn tid(&self) -> u32 {
        self.pid_tgid as u32
    }

    /// Its process.
    #[inline(always)]
    #[allow(clippy::inline_always, reason = "eBPF programs are one function each")]
    pub const fn tgid(&self) -> u32 {
        (self.pid_tgid >> 32) as u32
    }

    /// The slot of a thread.
    #[inline(always)]
    #[allow(clippy::inline_always, reason = "eBPF programs are one function each")]
    pub const fn slot_of(tid: u32) -> u32 {
        tid & (THREAD_SLOTS - 1)
    }

    /// The record of the `read(2)` that has returned.
    #[inline(always)]
    #[allow(clippy::inline_always, reason = "eBPF programs are one function each")]
    pub const fn read_syscall(&self) -> ReadSyscall {
        ReadSyscall {
            kind: EVENT_READ_SYSCALL,
            arm: self.arm,
            tgid: self.tgid(),
            tid: self.tid(),
            returned: self.returned,
            enter_ns: self.enter_ns,
            exit_ns: self.exit_ns,
            fd: self.fd,
            reserved: 0,
        }
    }
}

/// A descriptor of a process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes)]
#[repr(C)]
pub struct ConnectionKey {
    /// Process; 0 in an empty slot.
    pub tgid: u32,
    /// Descriptor.
    pub fd: i32,
}

impl ConnectionKey {
    /// The slot of a connection. Processes are apart by more than they have descriptors as a rule.
    #[inline(always)]
    #[allow(clippy::inline_always, reason = "eBPF programs are one function each")]
    pub const fn slot(self) -> u32 {
        self.tgid
            .wrapping_mul(509)
            .wrapping_add(self.fd.cast_unsigned())
            & (CONNECTION_SLOTS - 1)
    }
}

/// An open connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes)]
#[repr(C)]
pub struct Connection {
    /// The hook's identity of it: a descriptor that is used again has another.
    pub identity: u64,
    /// Bytes that reads have returned so far, or [`crate::UNKNOWN_OFFSET`].
    pub received: u64,
}

/// A slot of connections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes)]
#[repr(C)]
pub struct ConnectionSlot {
    /// Whose it is.
    pub key: ConnectionKey,
    /// Whether others would have had this slot too; they are in the hash table.
    pub is_shared: u64,
    /// The connection.
    pub connection: Connection,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_has_a_slot() {
        for number in [0, 1, 4_095, 4_096, 4_194_304, u32::MAX] {
            assert!(Target::slot_of(number) < TARGET_SLOTS);
            assert!(Thread::slot_of(number) < THREAD_SLOTS);
            for fd in [0, 1_023, i32::MAX, -1] {
                let key = ConnectionKey { tgid: number, fd };
                assert!(key.slot() < CONNECTION_SLOTS);
            }
        }
    }

    #[test]
    fn descriptors_of_a_process_have_slots_of_their_own() {
        let slot = |fd| ConnectionKey { tgid: 4_242, fd }.slot();
        let mut slots: [u32; 1_024] = core::array::from_fn(|fd| slot(i32::try_from(fd).unwrap()));
        slots.sort_unstable();
        assert!(slots.windows(2).all(|pair| pair[0] != pair[1]));
    }
}

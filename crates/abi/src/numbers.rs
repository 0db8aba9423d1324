//! Numbers of processes in the root PID namespace and in the agent's.

use zerocopy::{FromBytes, IntoBytes};

/// The numbers of one process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes)]
#[repr(C)]
pub struct Numbers {
    /// In the root namespace.
    pub kernels: u32,
    /// In the agent's.
    pub agents: u32,
}

/// Where the kernel keeps them, in bytes from the start of a structure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes)]
#[repr(C)]
pub struct Offsets {
    /// `task_struct.tgid`.
    pub task_tgid: u64,
    /// `task_struct.pid`.
    pub task_pid: u64,
    /// `task_struct.thread_pid`.
    pub task_thread_pid: u64,
    /// `pid.level`.
    pub pid_level: u64,
    /// `pid.numbers`.
    pub pid_numbers: u64,
    /// `upid.nr`.
    pub upid_nr: u64,
    /// Size of `upid`.
    pub upid_size: u64,
}

impl Offsets {
    /// Not known: nothing lists processes.
    pub const UNKNOWN: Self = Self {
        task_tgid: 0,
        task_pid: 0,
        task_thread_pid: 0,
        pid_level: 0,
        pid_numbers: 0,
        upid_nr: 0,
        upid_size: 0,
    };
}

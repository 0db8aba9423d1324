//! What the eBPF programs and the agent agree on: records, map values, counters and the histogram
//! layout; and what the bracket, the load generator and the agent agree on: [`trial`]. Plain old data only, `no_std`.
//!
//! Times are nanoseconds on `CLOCK_MONOTONIC`, which `bpf_ktime_get_ns` and the hook both read.
//! Process and thread numbers are those of the root PID namespace.
#![no_std]

pub mod counters;
pub mod lane;
pub mod layout;
pub mod numbers;
pub mod open_calls;
pub mod plain;
pub mod records;
pub mod threads;
#[cfg(not(target_arch = "bpf"))] // of the bracket, which no eBPF program knows
pub mod trial;

pub use counters::{Counter, Counters};
pub use lane::Lane;
pub use open_calls::{MAX_OPEN_CALLS, OpenCalls};
pub use plain::Plain;
pub use records::{
    Accepted, Closed, EVENT_ACCEPTED, EVENT_CLOSED, EVENT_FUNCTION_CALL, EVENT_HOOKED_READ,
    EVENT_HOOKED_READ_AND_SYSCALL, EVENT_READ_SYSCALL, EVENT_WRITE, FunctionCall, HookedRead,
    ReadSyscall, UNKNOWN_OFFSET, Write,
};
pub use threads::{Connection, ConnectionKey, ConnectionSlot, MAX_THREADS, Target, Thread};

/// What a histogram holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum SpanKind {
    /// Hook span minus inner span, of hooked reads.
    HookOverhead = 0,
    /// Hook entered to hook left.
    HookSpan = 1,
    /// `read(2)` in the kernel, every call of a traced process. The programs have those here that no hook
    /// made; the agent adds the hooked ones.
    ReadSyscall = 2,
    /// `read(2)` in the kernel, the calls that a hook made.
    HookedReadSyscall = 3,
    /// The write family in the kernel, on tracked connections.
    WriteSyscall = 4,
    /// Entry to return of the function named by `--symbol`.
    Function = 5,
}

impl SpanKind {
    /// How many there are.
    pub const COUNT: u32 = 6;

    /// All of them, in the order of their numbers.
    pub const ALL: [Self; Self::COUNT as usize] = [
        Self::HookOverhead,
        Self::HookSpan,
        Self::ReadSyscall,
        Self::HookedReadSyscall,
        Self::WriteSyscall,
        Self::Function,
    ];

    /// The name that output uses.
    pub const fn name(self) -> &'static str {
        match self {
            Self::HookOverhead => "hook_overhead",
            Self::HookSpan => "hook",
            Self::ReadSyscall => "read_syscall",
            Self::HookedReadSyscall => "hooked_read_syscall",
            Self::WriteSyscall => "write_syscall",
            Self::Function => "function",
        }
    }

    /// Index in the map of histograms of this kind of an arm.
    pub const fn index(self, arm: u32) -> u32 {
        arm * Self::COUNT + self as u32
    }
}

/// The most arms that are traced at once. Memory is taken for those that are asked for.
pub const MAX_ARMS: u32 = 256;

#[cfg(feature = "user")]
mod user {
    #![allow(unsafe_code, reason = "aya's Pod is an unsafe marker trait")]

    use super::{
        Connection, ConnectionKey, ConnectionSlot, Counters, Lane, OpenCalls, Plain, Target, Thread,
    };
    use crate::layout::Spans;
    use crate::numbers::Offsets;

    const fn is_plain<T: Plain>() {}

    /// Lets values pass through aya's maps.
    macro_rules! pod {
        ($($plain:ty),+ $(,)?) => {
            $(
                const _: () = is_plain::<$plain>();
                // SAFETY: it is `Plain`, as the line before holds.
                unsafe impl aya::Pod for $plain {}
            )+
        };
    }

    pod!(
        Connection,
        ConnectionKey,
        ConnectionSlot,
        Counters,
        Lane,
        Offsets
    );
    pod!(OpenCalls, Spans, Target, Thread);
}

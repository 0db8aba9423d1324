//! What the programs and the bench agree on. The bench uses this file too.

/// Values that one run of the program behind `bench kernel-histogram` takes: the arguments that a raw tracepoint can
/// have.
pub const SELF_TEST_VALUES: usize = 12;

/// A round trip under way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct RoundTrip {
    /// Entry of the call that began to send the request; 0 before the first.
    pub sent_ns: u64,
    /// Exit of the last call since then that returned bytes; 0 when none has.
    pub received_ns: u64,
}

/// What happened beside round trips.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct RoundTripCounts {
    /// Connections that were followed.
    pub connections: u64,
    /// Connections for which there was no room.
    pub connections_not_followed: u64,
    /// Addresses of `connect(2)` that could not be read.
    pub unreadable_addresses: u64,
    /// Writes behind a write, before any byte came back.
    pub further_writes: u64,
    /// Requests without a byte of a response when their connection was closed.
    pub unanswered: u64,
}

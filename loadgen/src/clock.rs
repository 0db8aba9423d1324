//! The clocks, and how long things may take.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::time::{ClockId, clock_gettime};

/// How often requests are checked for having timed out, and the stop flag for being raised.
pub const TICK: Duration = Duration::from_millis(100);
/// How long a refused connection is tried again before the arm counts as gone.
pub const CONNECT_PATIENCE: Duration = Duration::from_secs(2);

/// Nanoseconds on `CLOCK_MONOTONIC`, the clock of the probes too.
pub fn monotonic_ns() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec.cast_unsigned() * 1_000_000_000 + now.tv_nsec.cast_unsigned()
}

/// `CLOCK_MONOTONIC` of the servers' machine, by which slices of time are cut: ours, unless it was told by how much theirs is ahead.
#[derive(Clone, Debug, Default)]
pub struct ServerClock {
    ahead_ns: Arc<AtomicI64>,
}

impl ServerClock {
    /// What it says now, in nanoseconds.
    pub fn now_ns(&self) -> u64 {
        monotonic_ns().saturating_add_signed(self.ahead_ns())
    }

    /// By how much it is ahead of ours, in nanoseconds.
    pub fn ahead_ns(&self) -> i64 {
        self.ahead_ns.load(Ordering::Relaxed)
    }

    /// The servers' clock is ahead of ours by this, for all who share this value.
    pub fn set_ahead(&self, ns: i64) {
        self.ahead_ns.store(ns, Ordering::Relaxed);
    }
}

/// Nanoseconds since 1970.
pub fn unix_ns() -> u64 {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(now.as_nanos()).unwrap_or(u64::MAX)
}

/// A duration as nanoseconds.
pub fn as_ns(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

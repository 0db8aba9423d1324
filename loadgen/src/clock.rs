//! The clocks, and how long things may take.

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

//! How late an open loop is: the pacer's own histogram, and what became of the requests that were due.
//!
//! A pacer is late when the load generator did not get to run, or was busy. That a request waits because
//! all connections are taken is no lateness: it is what the server and the number of connections lead to,
//! and part of the latency, which counts from the planned instant.

use hdrhistogram::Histogram;
use runlog::interval_log::new_histogram;

/// The pacer of one block.
#[derive(Clone, Debug)]
pub struct Lateness {
    /// Later is late.
    pub limit_ns: u64,
    /// One value for each request that became due.
    pub histogram: Histogram<u64>,
    /// Their sum.
    pub total_ns: u64,
    /// Requests that the load generator came to later than the limit.
    pub late: u64,
    /// Requests that found no connection free.
    pub queued: u64,
    /// Requests that never got one.
    pub unsent: u64,
}

/// Share of the planned requests that may be late in an open loop.
pub const MAX_LATE_SHARE: f64 = 0.01;

impl Lateness {
    /// Nothing became due yet. Later than `limit_ns` is late.
    pub fn new(limit_ns: u64) -> Self {
        Self {
            limit_ns,
            histogram: new_histogram(),
            total_ns: 0,
            late: 0,
            queued: 0,
            unsent: 0,
        }
    }

    /// Counts a request that became due. Returns whether it is late.
    pub fn add(&mut self, lateness_ns: u64) -> bool {
        self.histogram.saturating_record(lateness_ns);
        self.total_ns += lateness_ns;
        let is_late = lateness_ns > self.limit_ns;
        self.late += u64::from(is_late);
        is_late
    }

    /// Adds another block's.
    pub fn merge(&mut self, other: &Self) {
        // Both have the same bounds.
        let _ = self.histogram.add(&other.histogram);
        self.total_ns += other.total_ns;
        self.late += other.late;
        self.queued += other.queued;
        self.unsent += other.unsent;
    }

    /// Requests that became due.
    pub fn planned(&self) -> u64 {
        self.histogram.len()
    }

    /// Whether the plan was kept well enough to be called an open loop.
    pub fn is_open_loop(&self) -> bool {
        self.late as f64 <= MAX_LATE_SHARE * self.planned() as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_than_one_in_a_hundred_is_no_open_loop() {
        let mut lateness = Lateness::new(1_000);
        for _ in 0..99 {
            assert!(!lateness.add(1_000));
        }
        assert!(lateness.add(1_001));
        assert!(lateness.is_open_loop(), "one in a hundred");
        let mut other = Lateness::new(1_000);
        other.add(5_000);
        assert!(!other.is_open_loop());
        lateness.merge(&other);
        assert_eq!((lateness.planned(), lateness.late), (101, 2));
        assert!(!lateness.is_open_loop());
    }
}

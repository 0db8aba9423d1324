//! Sums over requests by their response time: what slow requests are made of, in memory that does not
//! grow with their number.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;
use runlog::interval_log::new_histogram;
use runlog::record::JoinedRequest;

use crate::budget::Sums;

/// A band around a quantile reaches so far to each side at most, as a share of all requests.
const HALF_BAND: f64 = 0.05;

/// Sums by bucket of the response time.
#[derive(Debug)]
pub struct Spectrum {
    /// Stays empty: it knows the buckets.
    layout: Histogram<u64>,
    /// By the lowest value of the bucket.
    buckets: BTreeMap<u64, Sums>,
    requests: u64,
}

/// The requests around a quantile.
#[derive(Clone, Copy, Debug)]
pub struct Band {
    /// Share of requests that are faster.
    pub from: f64,
    /// Share of requests that are no slower.
    pub to: f64,
    /// The requests.
    pub sums: Sums,
}

impl Default for Spectrum {
    fn default() -> Self {
        Self {
            layout: new_histogram(),
            buckets: BTreeMap::new(),
            requests: 0,
        }
    }
}

impl Spectrum {
    /// Adds a request.
    pub fn add(&mut self, request: &JoinedRequest) {
        let bucket = self.layout.lowest_equivalent(request.response_time_ns);
        self.buckets.entry(bucket).or_default().add(request);
        self.requests += 1;
    }

    /// The requests around a quantile: to each side 5 % of all, and half of those that are slower at
    /// most; whole buckets are taken. `None` if it is the slowest request or beyond.
    pub fn band(&self, quantile: f64) -> Option<Band> {
        let all = self.requests as f64;
        if all * (1.0 - quantile) < 1.0 {
            return None;
        }
        let half = HALF_BAND.min((1.0 - quantile) / 2.0);
        let (low, high) = ((quantile - half) * all, (quantile + half) * all);
        let mut before = 0.0;
        let mut band: Option<Band> = None;
        for bucket in self.buckets.values() {
            let after = before + bucket.requests as f64;
            if after > low && before < high {
                let band = band.get_or_insert(Band {
                    from: before / all,
                    to: 0.0,
                    sums: Sums::default(),
                });
                band.sums.add_all(bucket);
                band.to = after / all;
            }
            before = after;
        }
        band
    }
}

//! What a response time is made of. The lines are means over the same requests, so they add up to
//! the mean response time; medians would not.

use runlog::analysis::{Budget, BudgetAt, BudgetLine};
use runlog::record::{JoinedRequest, Request};
use stats::Trim;

use crate::association::AssociationCollector;
use crate::spectrum::Spectrum;

/// The quantiles of the response time at which the budget is drawn up again.
const QUANTILES: [f64; 4] = [0.5, 0.9, 0.99, 0.999];

/// Collects joined requests of one arm.
#[derive(Debug)]
pub struct BudgetCollector {
    trim: Trim,
    trimmed: Sums,
    spectrum: Spectrum,
    association: AssociationCollector,
    waited_for: u64,
}

/// Sums over requests, in ns.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sums {
    /// How many requests.
    pub requests: u64,
    end_to_end: u64,
    /// In the order of [`LINES`].
    lines: [u64; 4],
}

/// The lines that are measured.
const LINES: [&str; 4] = [
    "hook_overhead",
    "read_syscall",
    "application",
    "write_syscall",
];

impl Sums {
    /// Adds a request.
    pub fn add(&mut self, request: &JoinedRequest) {
        self.requests += 1;
        self.end_to_end += request.response_time_ns;
        let values = [
            request.hook_overhead_ns,
            request.read_syscall_ns,
            request.application_ns,
            request.write_syscall_ns,
        ];
        for (sum, value) in self.lines.iter_mut().zip(values) {
            *sum += value;
        }
    }

    /// Adds other requests.
    pub fn add_all(&mut self, other: &Self) {
        self.requests += other.requests;
        self.end_to_end += other.end_to_end;
        for (sum, value) in self.lines.iter_mut().zip(other.lines) {
            *sum += value;
        }
    }

    /// The mean response time.
    pub fn end_to_end_ns(&self) -> f64 {
        self.end_to_end as f64 / self.requests as f64
    }

    /// The lines, with the rest as the last of them.
    pub fn lines(&self) -> Vec<BudgetLine> {
        let mean_ns = |sum: u64| sum as f64 / self.requests as f64;
        let mut lines: Vec<BudgetLine> = LINES
            .into_iter()
            .zip(self.lines)
            .map(|(name, sum)| BudgetLine {
                name: name.to_owned(),
                mean_ns: mean_ns(sum),
            })
            .collect();
        let explained: f64 = lines.iter().map(|line| line.mean_ns).sum();
        lines.push(BudgetLine {
            name: "rest".to_owned(),
            mean_ns: self.end_to_end_ns() - explained,
        });
        lines
    }
}

impl BudgetCollector {
    /// An empty collector; the requests of each block are trimmed by their response time.
    pub fn new(trim: Trim) -> Self {
        Self {
            trim,
            trimmed: Sums::default(),
            spectrum: Spectrum::default(),
            association: AssociationCollector::default(),
            waited_for: 0,
        }
    }

    /// Adds a block. Requests count that are outside the warm-up, have reads of their own, and whose
    /// answer was seen.
    pub fn add(&mut self, joined: &[JoinedRequest]) {
        let mut counted: Vec<&JoinedRequest> = joined
            .iter()
            .filter(|request| request.flags & (Request::WARMUP | JoinedRequest::SHARED) == 0)
            .filter(|request| request.write_syscall_ns > 0)
            .collect();
        self.association.add(&counted);
        counted.sort_unstable_by_key(|request| request.response_time_ns);
        for request in &counted {
            self.spectrum.add(request);
        }
        for request in &counted[self.trim.kept(counted.len())] {
            self.trimmed.add(request);
            self.waited_for += u64::from(request.waited_ns > 0);
        }
    }

    /// The budget; `None` without requests.
    pub fn finish(self, arm: &str) -> Option<Budget> {
        let Self {
            trimmed,
            spectrum,
            association,
            waited_for,
            ..
        } = self;
        if trimmed.requests == 0 {
            return None;
        }
        let quantiles = QUANTILES
            .into_iter()
            .filter_map(|quantile| {
                let band = spectrum.band(quantile)?;
                Some(BudgetAt {
                    quantile,
                    from: band.from,
                    to: band.to,
                    requests: band.sums.requests,
                    end_to_end_ns: band.sums.end_to_end_ns(),
                    lines: band.sums.lines(),
                })
            })
            .collect();
        Some(Budget {
            arm: arm.to_owned(),
            requests: trimmed.requests,
            end_to_end_ns: trimmed.end_to_end_ns(),
            lines: trimmed.lines(),
            quantiles,
            association: association.finish(),
            waited_for,
        })
    }
}

#[cfg(test)]
mod tests;

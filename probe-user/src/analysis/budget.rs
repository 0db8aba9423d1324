//! What a response time is made of. The lines are means over the same requests, so they add up to
//! the mean response time; medians would not.

use std::ops::AddAssign;

use runlog::analysis::{Budget, BudgetLine};
use runlog::record::{JoinedRequest, Request};
use stats::Trim;

/// Collects joined requests of one arm.
#[derive(Debug)]
pub struct BudgetCollector {
    trim: Trim,
    requests: u64,
    sums: Sums,
}

#[derive(Debug, Default)]
struct Sums {
    end_to_end: Sum,
    hook_overhead: Sum,
    read_syscall: Sum,
    application: Sum,
    write_syscall: Sum,
}

#[derive(Debug, Default)]
struct Sum(u128);

impl AddAssign<u64> for Sum {
    fn add_assign(&mut self, value_ns: u64) {
        self.0 += u128::from(value_ns);
    }
}

impl BudgetCollector {
    /// An empty collector; the requests of each block are trimmed by their response time.
    pub fn new(trim: Trim) -> Self {
        Self {
            trim,
            requests: 0,
            sums: Sums::default(),
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
        counted.sort_unstable_by_key(|request| request.response_time_ns);
        for request in &counted[self.trim.kept(counted.len())] {
            self.requests += 1;
            self.sums.end_to_end += request.response_time_ns;
            self.sums.hook_overhead += request.hook_overhead_ns;
            self.sums.read_syscall += request.read_syscall_ns;
            self.sums.application += request.application_ns;
            self.sums.write_syscall += request.write_syscall_ns;
        }
    }

    /// The budget; `None` without requests.
    pub fn finish(self, arm: &str) -> Option<Budget> {
        let Self { requests, sums, .. } = self;
        if requests == 0 {
            return None;
        }
        let mean_ns = |sum: &Sum| sum.0 as f64 / requests as f64;
        let end_to_end_ns = mean_ns(&sums.end_to_end);
        let mut lines: Vec<BudgetLine> = [
            ("hook_overhead", &sums.hook_overhead),
            ("read_syscall", &sums.read_syscall),
            ("application", &sums.application),
            ("write_syscall", &sums.write_syscall),
        ]
        .into_iter()
        .map(|(name, sum)| BudgetLine {
            name: name.to_owned(),
            mean_ns: mean_ns(sum),
        })
        .collect();
        let explained: f64 = lines.iter().map(|line| line.mean_ns).sum();
        lines.push(BudgetLine {
            name: "rest".to_owned(),
            mean_ns: end_to_end_ns - explained,
        });
        Some(Budget {
            arm: arm.to_owned(),
            requests,
            end_to_end_ns,
            lines,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn joined(response_time_ns: u64, flags: u16) -> JoinedRequest {
        JoinedRequest {
            flags,
            calls: 1,
            hook_overhead_ns: 300,
            read_syscall_ns: 900,
            application_ns: 2_000,
            write_syscall_ns: 5_000,
            response_time_ns,
            ..JoinedRequest::default()
        }
    }

    #[test]
    fn the_lines_add_up_and_exceptions_are_left_out() {
        let mut collector = BudgetCollector::new(Trim::each_end(0.25).unwrap());
        let mut no_answer = joined(10_000, 0);
        no_answer.write_syscall_ns = 0;
        collector.add(&[
            joined(1_000_000_000, 0),
            joined(12_000, 0),
            joined(10_000, 0),
            joined(9_000, 0),
            joined(5, Request::WARMUP),
            joined(5, JoinedRequest::SHARED),
            no_answer,
        ]);
        let budget = collector.finish("hooked").unwrap();
        assert_eq!(
            budget.requests, 2,
            "the fastest and the slowest of four are trimmed"
        );
        assert!((budget.end_to_end_ns - 11_000.0).abs() < 1e-9);
        let sum: f64 = budget.lines.iter().map(|line| line.mean_ns).sum();
        assert!((sum - budget.end_to_end_ns).abs() < 1e-9);
        assert_eq!(
            budget.lines.last().map(|line| line.name.as_str()),
            Some("rest")
        );
        assert!((budget.lines[4].mean_ns - 2_800.0).abs() < 1e-9);
    }

    #[test]
    fn no_requests_make_no_budget() {
        assert_eq!(BudgetCollector::new(Trim::NONE).finish("hooked"), None);
    }
}

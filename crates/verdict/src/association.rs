//! Whether slow requests have slow hooks. An association, no effect: what disturbs a request slows the hook and the rest alike.

use runlog::analysis::Association;
use runlog::estimate::Unit;
use runlog::record::JoinedRequest;
use stats::mean_interval;
use stats::ranks::spearman;
use stats::slope::{evenly_spaced, theil_sen};

use crate::estimate;

/// Requests of a block that enter: slopes are formed between all pairs of them.
const MOST_REQUESTS: usize = 400;

/// One value a block: neighbouring requests are alike, so requests are no replicates.
#[derive(Debug, Default)]
pub struct AssociationCollector {
    rank_correlations: Vec<f64>,
    slopes: Vec<f64>,
}

impl AssociationCollector {
    /// Adds the requests of a block. One in which either side does not vary has nothing to say.
    pub fn add(&mut self, requests: &[&JoinedRequest]) {
        let (overheads, times): (Vec<f64>, Vec<f64>) = evenly_spaced(requests.len(), MOST_REQUESTS)
            .filter_map(|index| requests.get(index))
            .map(|request| {
                let overhead_ns = request.hook_overhead_ns as f64;
                (overhead_ns, request.response_time_ns as f64)
            })
            .unzip();
        if let (Some(correlation), Some(slope)) =
            (spearman(&overheads, &times), theil_sen(&overheads, &times))
        {
            self.rank_correlations.push(correlation.rho);
            self.slopes.push(slope.slope);
        }
    }

    /// The association; `None` below two blocks.
    pub fn finish(self) -> Option<Association> {
        let method = "Student's t on the values of blocks";
        Some(Association {
            rank_correlation: estimate(
                mean_interval(&self.rank_correlations)?,
                Unit::One,
                "mean over blocks of Spearman's rank correlation of response time and hook overhead; an association, no effect",
                method,
            ),
            slope: estimate(
                mean_interval(&self.slopes)?,
                Unit::One,
                "mean over blocks of the Theil-Sen slope of response time on hook overhead; an association, no effect",
                method,
            ),
            most_requests_of_a_block: MOST_REQUESTS,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn response_times_that_follow_the_hook_one_to_one_have_slope_one() {
        let mut collector = AssociationCollector::default();
        for block in 0..3_u64 {
            let requests: Vec<JoinedRequest> = (0..1_000_u64)
                .map(|number| {
                    let overhead_ns = 300 + (number * 7 + block) % 40;
                    // A few take far longer, and the slope does not care.
                    let trouble_ns = if number % 97 == 0 { 1_000_000 } else { 0 };
                    JoinedRequest {
                        hook_overhead_ns: overhead_ns,
                        response_time_ns: 10_000 + overhead_ns + trouble_ns,
                        ..JoinedRequest::default()
                    }
                })
                .collect();
            collector.add(&requests.iter().collect::<Vec<_>>());
        }
        let found = collector.finish().unwrap();
        assert_eq!(found.slope.blocks, 3);
        assert!((found.slope.estimate - 1.0).abs() < 0.01, "{found:?}");
        assert!(found.rank_correlation.estimate > 0.9, "{found:?}");
    }

    #[test]
    fn a_hook_that_always_takes_the_same_time_has_no_association() {
        let mut collector = AssociationCollector::default();
        let request = JoinedRequest {
            hook_overhead_ns: 300,
            response_time_ns: 10_000,
            ..JoinedRequest::default()
        };
        collector.add(&[&request; 100]);
        assert_eq!(collector.finish(), None);
    }
}

//! Where response times are split into body and tail: fixed by what came before the first request that counts.

use std::collections::BTreeMap;

use runlog::RunDirectory;
use runlog::groups::Groups;
use runlog::record::Request;
use stats::moments;

use crate::trial::design::Design;

/// The threshold is so many times the median response time of the warm-up, of the arm whose is longest: a hook or a delay
/// must not cut itself off.
pub const MEDIANS: f64 = 4.0;

/// A request of the warm-up.
struct WarmUp {
    arm: u16,
    done_ns: u64,
    took_ns: f64,
    /// It carried the salt, and had a connection to open.
    is_first: bool,
}

/// Reads the threshold, ns. The warm-up that ended before the first request that counts was sent decides; where there is
/// none, that of all blocks; `None` without any.
pub fn read(run: &RunDirectory, design: &Design) -> runlog::Result<Option<f64>> {
    let mut warm_up = Vec::new();
    let mut groups = Groups::open(run.requests(), |request: &Request| request.block)?;
    let mut began_ns = None;
    while let Some((_, requests)) = groups.next_group()? {
        let without_probes = |request: &&Request| request.is_ok() && !request.is_observed();
        let mut counted = Vec::new();
        for request in requests.iter().filter(without_probes) {
            if request.is_warmup() {
                warm_up.push(WarmUp {
                    arm: request.arm,
                    done_ns: request.done_ns,
                    took_ns: request.response_time_ns() as f64,
                    is_first: design.ordinal(request) == 0,
                });
            } else {
                counted.push(request.sent_ns);
            }
        }
        if began_ns.is_none()
            && let Some(first_ns) = counted.into_iter().min()
        {
            began_ns = Some(first_ns);
            let before = warm_up.iter().filter(|of| of.done_ns <= first_ns);
            if let Some(threshold_ns) = threshold(before) {
                return Ok(Some(threshold_ns));
            }
        }
    }
    Ok(threshold(warm_up.iter()))
}

/// By the medians of the arms; by first requests, which are of none, where there are no others.
fn threshold<'w>(warm_up: impl Iterator<Item = &'w WarmUp>) -> Option<f64> {
    let (first, others): (Vec<&WarmUp>, Vec<&WarmUp>) = warm_up.partition(|of| of.is_first);
    let mut by_arm = BTreeMap::<u16, Vec<f64>>::new();
    for of in if others.is_empty() { first } else { others } {
        by_arm.entry(of.arm).or_default().push(of.took_ns);
    }
    let medians = by_arm
        .values()
        .filter_map(|times| moments::quantile(times, 0.5));
    medians.max_by(f64::total_cmp).map(|ns| MEDIANS * ns)
}

//! Where response times are split into body and tail: one threshold for all arms, fixed by what came before the first request that
//! counts.

use std::collections::{BTreeMap, BTreeSet};

use runlog::RunDirectory;
use runlog::groups::Groups;
use runlog::record::Request;
use stats::moments;

/// The threshold is so many times the median response time of the warm-up, of the arm whose is longest: a hook or a delay
/// must not cut itself off.
const MEDIANS: f64 = 4.0;

/// A request of the warm-up.
struct WarmUp {
    arm: u16,
    took_ns: f64,
    /// It carried the salt, and had a connection to open.
    is_first: bool,
}

/// What the warm-up tells.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Beforehand {
    /// The threshold, ns.
    pub threshold_ns: f64,
    /// What 99 of 100 requests took at most, ns.
    pub p99_ns: f64,
}

/// Reads what was known before the first request that counts: the warm-up of each arm before that decides; `None` without any.
/// `took_ns` is what a request takes, `is_first` tells the first of a connection, where that is another than the others.
pub fn of_warm_up(
    run: &RunDirectory,
    arms: usize,
    took_ns: fn(&Request) -> u64,
    is_first: impl Fn(&Request) -> bool,
) -> runlog::Result<Option<Beforehand>> {
    let mut warm_up = Vec::new();
    let mut counting = BTreeSet::new();
    let mut groups = Groups::open(run.requests(), |request: &Request| request.block)?;
    while counting.len() < arms
        && let Some((_, mut requests)) = groups.next_group()?
    {
        requests.retain(|request| request.is_ok() && !request.is_observed());
        let of_warm_up = requests
            .iter()
            .filter(|request| request.is_warmup() && !counting.contains(&request.arm));
        warm_up.extend(of_warm_up.map(|request| WarmUp {
            arm: request.arm,
            took_ns: took_ns(request) as f64,
            is_first: is_first(request),
        }));
        let counted = requests.iter().filter(|request| !request.is_warmup());
        counting.extend(counted.map(|request| request.arm));
    }
    Ok(beforehand(&warm_up))
}

/// The same of a run that compares blocks. Where nothing was sent before the requests that count, these decide themselves.
pub fn of_blocks(run: &RunDirectory, arms: usize) -> runlog::Result<Option<f64>> {
    if let Some(found) = of_warm_up(run, arms, Request::response_time_ns, |_| false)? {
        return Ok(Some(found.threshold_ns));
    }
    let mut times_ns = BTreeMap::<u16, Vec<f64>>::new();
    let mut groups = Groups::open(run.requests(), |request: &Request| request.block)?;
    while let Some((_, requests)) = groups.next_group()? {
        for request in requests
            .iter()
            .filter(|request| request.is_ok() && !request.is_observed())
        {
            let of_arm = times_ns.entry(request.arm).or_default();
            of_arm.push(request.response_time_ns() as f64);
        }
    }
    Ok(of_medians(times_ns.values()))
}

/// The threshold by the medians of the arms; by first requests, which are of none, where there are no others.
fn beforehand(warm_up: &[WarmUp]) -> Option<Beforehand> {
    let (first, others): (Vec<&WarmUp>, Vec<&WarmUp>) = warm_up.iter().partition(|of| of.is_first);
    let mut by_arm = BTreeMap::<u16, Vec<f64>>::new();
    for of in if others.is_empty() { first } else { others } {
        by_arm.entry(of.arm).or_default().push(of.took_ns);
    }
    let all: Vec<f64> = by_arm.values().flatten().copied().collect();
    Some(Beforehand {
        threshold_ns: of_medians(by_arm.values())?,
        p99_ns: moments::quantile(&all, 0.99)?,
    })
}

fn of_medians<'t>(arms: impl Iterator<Item = &'t Vec<f64>>) -> Option<f64> {
    let medians = arms.filter_map(|times_ns| moments::quantile(times_ns, 0.5));
    of_longest(medians)
}

/// The threshold by the median of each arm.
pub fn of_longest(medians_ns: impl Iterator<Item = f64>) -> Option<f64> {
    medians_ns.max_by(f64::total_cmp).map(|ns| MEDIANS * ns)
}

#[cfg(test)]
mod tests {
    use runlog::table::TableWriter;

    use super::*;

    /// Requests of two arms in turn: arm, response time in ns, flags.
    fn threshold(requests: &[(u16, u64, u16)]) -> Option<f64> {
        let folder = tempfile::tempdir().unwrap();
        let run = RunDirectory::create(folder.path().join("run")).unwrap();
        let mut writer = TableWriter::create(run.requests()).unwrap();
        for (block, (arm, took_ns, flags)) in (0..).zip(requests) {
            let request = Request {
                block,
                arm: *arm,
                flags: *flags,
                done_ns: *took_ns,
                ..Request::default()
            };
            writer.push(&request).unwrap();
        }
        writer.finish().unwrap();
        of_blocks(&run, 2).unwrap()
    }

    const WARM_UP: u16 = Request::WARMUP;

    #[test]
    fn the_slowest_arms_warm_up_decides_for_all() {
        let requests = [
            (0, 10, WARM_UP),
            (1, 30, WARM_UP),
            (0, 500, WARM_UP | Request::OBSERVED),
            (1, 40, 0),
            (0, 900, 0),
            // What comes later was not there beforehand.
            (1, 700, WARM_UP),
        ];
        assert_eq!(threshold(&requests), Some(4.0 * 30.0));
        // Where one arm ran after the other, its warm-up did, too.
        let sequential = [(0, 10, WARM_UP), (0, 11, 0), (1, 20, WARM_UP), (1, 21, 0)];
        assert_eq!(threshold(&sequential), Some(4.0 * 20.0));
    }

    #[test]
    fn without_a_warm_up_requests_that_count_decide() {
        assert_eq!(
            threshold(&[(0, 10, 0), (1, 20, 0), (1, 30, 0)]),
            Some(100.0)
        );
        assert_eq!(threshold(&[]), None);
    }
}

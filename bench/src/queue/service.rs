//! How long the server takes for a request, of a run by slices.

use std::collections::BTreeMap;

use abi::trial::Arm;
use abi::trial::slices::Slices;
use runlog::record::{BracketedCall, Request};

/// A request that was sent so much earlier has come to the server: writing it takes a few µs.
const SENDING_NS: u64 = 10_000;

/// Service times of requests of an arm, and the delay within them.
#[derive(Debug, Default)]
pub struct Service {
    /// Service times, ns.
    pub times_ns: Vec<f64>,
    /// How long the arm's delay lasted, ns.
    pub delays_ns: Vec<f64>,
}

/// The service times of each arm, in a server with one thread that takes requests in turn: from the entry of a request's first read
/// to that of the next one's.
///
/// The server must not have waited for the next request in between. So those times count at whose beginning another
/// request had come already. That is decided before the time begins, so no long or short times are preferred.
///
/// `requests` and `calls` are of one process, in any order.
pub fn times(
    requests: &[Request],
    calls: &[BracketedCall],
    slices: &Slices,
    arms: &[Arm],
) -> BTreeMap<String, Service> {
    // The first of a connection has no arm, and no record.
    let mut sent_ns: Vec<u64> = requests
        .iter()
        .filter(|request| request.was_sent() && request.first_byte > 0)
        .map(|request| request.sent_ns)
        .collect();
    sent_ns.sort_unstable();
    let mut reads: Vec<&BracketedCall> = calls
        .iter()
        .filter(|call| call.function != BracketedCall::ANSWER)
        .filter(|call| call.flags & BracketedCall::FRESH != 0 && call.returned > 0)
        .collect();
    reads.sort_unstable_by_key(|call| call.enter_ns);
    let mut services = BTreeMap::<String, Service>::new();
    for (before, pair) in reads.windows(2).enumerate() {
        let [read, next] = [pair[0], pair[1]];
        // This one, and one behind it.
        let taken = before + 2;
        let come = sent_ns.partition_point(|sent_ns| sent_ns + SENDING_NS < read.enter_ns);
        let is_in_one_slice = slices.at(read.enter_ns) == slices.at(next.enter_ns);
        let arm = arms.get(usize::from(read.arm));
        if let Some(arm) = arm.filter(|_| come >= taken && is_in_one_slice) {
            let of = services.entry(arm.to_string()).or_default();
            of.times_ns.push((next.enter_ns - read.enter_ns) as f64);
            of.delays_ns.push(f64::from(read.waited_ns));
        }
    }
    services
}

#[cfg(test)]
mod tests {
    use abi::trial::Trial;

    use super::*;

    #[test]
    fn a_service_time_counts_where_the_next_request_has_come() {
        let text = "seed=1 size=256 slice=1000000000 arms=off,on,on+1000";
        let trial = Trial::parse(text.as_bytes()).unwrap();
        let slices = Slices::of(&trial).unwrap();
        let slice = slices.at(0);
        let us = |us: u64| slice.begin_ns + 1_000 * us;
        let request = |sent_us| Request {
            sent_ns: us(sent_us),
            first_byte: 256,
            ..Request::default()
        };
        let call = |enter_us| BracketedCall {
            arm: u16::try_from(slice.arm).unwrap(),
            flags: BracketedCall::FRESH,
            returned: 256,
            enter_ns: us(enter_us),
            waited_ns: 1_040,
            ..BracketedCall::default()
        };
        // The second waits for the first, the third comes during the second, the fourth to an idle server.
        let mut requests = [0, 1, 120, 500].map(request).to_vec();
        requests.push(Request {
            first_byte: 0,
            ..request(0)
        });
        let mut calls = [50, 100, 150, 510].map(call).to_vec();
        calls.push(BracketedCall {
            returned: 0,
            ..call(60)
        });
        let found = times(&requests, &calls, &slices, trial.arms());
        let [(_, service)] = &found.into_iter().collect::<Vec<_>>()[..] else {
            panic!("one arm");
        };
        assert_eq!(service.times_ns, [50_000.0]);
        assert_eq!(service.delays_ns, [1_040.0]);
    }
}

//! The in-situ layer: block means of what the hook's calls cost inside the running server.

use std::collections::BTreeMap;

use runlog::record::{JoinedRequest, Request};
use stats::{mean, spread};

use crate::blocks::BlockMeans;
use crate::order::differences;

/// What blocks of one arm come to, by round. Means are of what is clipped at the run's threshold, as response times are: a rare cost
/// is in them, and a call that the hypervisor interrupted decides no block.
#[derive(Clone, Debug, Default)]
pub struct CallMeans {
    /// Mean hook overhead of one call, ns.
    pub hook_overhead_ns: Vec<Option<f64>>,
    /// Its median over requests, ns.
    pub typical_overhead_ns: Vec<Option<f64>>,
    /// `read(2)` of one call in the kernel, ns.
    pub read_syscall_ns: Vec<Option<f64>>,
    /// Calls per request.
    pub calls_per_request: Vec<Option<f64>>,
    /// Bytes of requests that one call returned.
    pub bytes_per_call: Vec<Option<f64>>,
    /// Mean hook overhead of all calls of one request, without the clock reads that only a watched hook
    /// makes, ns.
    pub overhead_per_request_ns: Vec<Option<f64>>,
    /// Its median, ns.
    pub typical_per_request_ns: Vec<Option<f64>>,
}

impl CallMeans {
    /// The same with the overheads less those of another arm, which was seen in the same rounds.
    pub fn less_overheads(self, other: &Self) -> Self {
        let less = |part: fn(&Self) -> &Vec<Option<f64>>| differences(part(other), part(&self));
        Self {
            hook_overhead_ns: less(|of| &of.hook_overhead_ns),
            typical_overhead_ns: less(|of| &of.typical_overhead_ns),
            overhead_per_request_ns: less(|of| &of.overhead_per_request_ns),
            typical_per_request_ns: less(|of| &of.typical_per_request_ns),
            ..self
        }
    }
}

/// Collects joined requests, block by block.
#[derive(Debug)]
pub struct InSituCollector {
    threshold_ns: f64,
    bias_ns: f64,
    arms: BTreeMap<(u16, Option<u16>), CallMeans>,
}

impl InSituCollector {
    /// An empty collector; durations are clipped at the threshold. Between the hook's last two
    /// timestamps lies one clock read, which adds `bias_ns` to what it sees of a call.
    pub fn new(threshold_ns: f64, bias_ns: f64) -> Self {
        Self {
            threshold_ns,
            bias_ns,
            arms: BTreeMap::new(),
        }
    }

    /// Adds a block, in a trial what it has of one arm. Only requests outside the warm-up count.
    pub fn add(&mut self, joined: &[JoinedRequest], blocks: &BlockMeans) {
        let Some(first) = joined.first() else {
            return;
        };
        let Some((round, beside)) = blocks.round_of(first.block) else {
            return;
        };
        let counted = || {
            joined
                .iter()
                .filter(|request| request.flags & Request::WARMUP == 0)
        };
        let calls: u64 = counted().map(|request| u64::from(request.calls)).sum();
        let bytes: u64 = counted().map(|request| request.request_bytes).sum();
        let requests = counted().count();
        // Per call: a request with several calls contributes the mean of its calls.
        let per_call = |part: fn(&JoinedRequest) -> u64| -> Vec<f64> {
            counted()
                .filter(|request| request.calls > 0)
                .map(|request| part(request) as f64 / f64::from(request.calls))
                .collect()
        };
        let mut overhead_ns = per_call(|request| request.hook_overhead_ns);
        let syscall_ns = per_call(|request| request.read_syscall_ns);
        let mut per_request_ns: Vec<f64> = counted()
            .map(|request| {
                request.hook_overhead_ns as f64 - self.bias_ns * f64::from(request.calls)
            })
            .collect();
        let clipped_mean = |values_ns: &[f64]| {
            let clipped = values_ns.iter().map(|ns| ns.min(self.threshold_ns));
            mean(&clipped.collect::<Vec<_>>())
        };
        let means = self.arms.entry((first.arm, beside)).or_default();
        set(
            &mut means.hook_overhead_ns,
            round,
            clipped_mean(&overhead_ns),
        );
        set(
            &mut means.typical_overhead_ns,
            round,
            spread::median(&mut overhead_ns),
        );
        let syscall_ns = clipped_mean(&syscall_ns).filter(|ns| *ns > 0.0);
        set(&mut means.read_syscall_ns, round, syscall_ns);
        set(
            &mut means.overhead_per_request_ns,
            round,
            clipped_mean(&per_request_ns),
        );
        set(
            &mut means.typical_per_request_ns,
            round,
            spread::median(&mut per_request_ns),
        );
        let per_request = (requests > 0).then(|| calls as f64 / requests as f64);
        set(&mut means.calls_per_request, round, per_request);
        let per_call = (calls > 0).then(|| bytes as f64 / calls as f64);
        set(&mut means.bytes_per_call, round, per_call);
    }

    /// The means of an arm, for a comparison with another. In a duet, those of the blocks that ran beside
    /// it.
    pub fn against(&self, arm: u16, other: u16) -> CallMeans {
        let seat = |beside| self.arms.get(&(arm, beside));
        let means = seat(None).or_else(|| seat(Some(other)));
        means.cloned().unwrap_or_default()
    }
}

/// Puts a value at its round.
pub fn set<T: Clone>(rounds: &mut Vec<Option<T>>, round: usize, value: Option<T>) {
    if rounds.len() <= round {
        rounds.resize(round + 1, None);
    }
    rounds[round] = value;
}

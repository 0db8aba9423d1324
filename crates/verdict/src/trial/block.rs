//! What is kept of a block of a trial: a few values of each arm.

use stats::counted::Split;
use stats::{mean, spread};

use crate::trial::calls::Calls;
use crate::trial::carry_over;
use crate::trial::design::Design;
use crate::trial::rerandomisation;

/// The quantiles whose effects are looked at, and how many requests of either arm a block must have.
pub const QUANTILES: [(f64, usize); 7] = [
    (0.1, 50),
    (0.25, 50),
    (0.5, 50),
    (0.75, 50),
    (0.9, 50),
    (0.95, 50),
    (0.99, 200),
];
/// Where the median and the 99th percentile stand among them.
const MEDIAN: usize = 2;
const P99: usize = 6;

/// A request that counts: no warm-up, without probes, answered.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    /// Number of its arm.
    pub arm: usize,
    /// Number of its connection.
    pub connection: u32,
    /// Which request of the connection it is.
    pub ordinal: u64,
    /// Response time in ns.
    pub took_ns: f64,
    /// Its calls, if they are recorded.
    pub calls: Option<Calls>,
}

/// A block without probes; by slices of time, a round of these.
#[derive(Clone, Debug)]
pub struct Block {
    /// Number of the server.
    pub server: usize,
    /// Number of the round.
    pub round: u64,
    /// Requests that count.
    pub requests: usize,
    /// The step of the clock, ns.
    pub step_ns: f64,
    /// By arm.
    pub arms: Vec<ArmOfBlock>,
    /// By contrast and lag.
    pub carry_over: Vec<carry_over::Effects>,
    /// By draw: what arms that go past the hook differ by when they are drawn again, ns.
    pub redrawn_ns: Vec<f64>,
}

/// What one arm has in a block.
#[derive(Clone, Debug, Default)]
pub struct ArmOfBlock {
    /// Requests that count.
    pub requests: usize,
    /// Means of what lies below and above the threshold, ns, and the share above.
    pub split: Option<Split>,
    /// Quantiles of the response time by [`QUANTILES`], ns, where there are requests enough.
    pub quantiles_ns: [Option<f64>; QUANTILES.len()],
    /// Requests with records of calls,
    pub with_records: usize,
    /// and those whose calls had another arm, by slices of time: no records count of them.
    pub of_other_arm: usize,
    /// Mean delay of these, each clipped at the threshold, ns.
    pub waited_ns: Option<f64>,
    /// Median delay of these, ns.
    pub waited_median_ns: Option<f64>,
    /// What records tell of their calls.
    pub recorded: Option<Recorded>,
    /// How fast requests are completed in the slice of this arm.
    pub pace: Option<Pace>,
}

/// How fast requests are completed.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Number of the arm of the slice before.
    pub behind: usize,
    /// Time per completed request, ns.
    pub ns: f64,
    /// The same with twice the washout, ns.
    pub late_ns: Option<f64>,
}

/// Of the requests of an arm whose calls are recorded and got behind the hook.
#[derive(Clone, Copy, Debug)]
pub struct Recorded {
    /// How many.
    pub requests: usize,
    /// Hook overhead of a request, of all its calls.
    pub whole: Overhead,
    /// The part after the read.
    pub after_read: Overhead,
    /// The part that lengthens response times.
    pub in_response: Overhead,
    /// Median of the whole with the delay, ns.
    pub delayed_median_ns: f64,
    /// Means of calls and of bytes.
    pub calls: f64,
    /// Bytes of a request.
    pub bytes: f64,
    /// Share of the calls that were entered before the request was sent.
    pub share_waiting: f64,
    /// Means of the segments of a request, ns.
    pub segments_ns: [f64; 3],
}

/// Mean, clipped at the threshold, and median; ns.
#[derive(Clone, Copy, Debug)]
pub struct Overhead {
    /// The mean.
    pub mean_ns: f64,
    /// The median.
    pub median_ns: f64,
}

impl Block {
    /// Of the requests of the block with this number in the log.
    pub fn new(
        design: &Design,
        round: u64,
        server: usize,
        samples: &[Sample],
        threshold_ns: Option<f64>,
    ) -> Self {
        let mut times_ns: Vec<f64> = samples.iter().map(|sample| sample.took_ns).collect();
        times_ns.sort_unstable_by(f64::total_cmp);
        let step_ns = spread::step(&times_ns);
        let of_arm = |(arm, _)| {
            let samples = || samples.iter().filter(move |sample| sample.arm == arm);
            let mut times_ns: Vec<f64> = samples().map(|sample| sample.took_ns).collect();
            times_ns.sort_unstable_by(f64::total_cmp);
            // By slices the warm-up may be of one arm alone; paces are not clipped either, and rounds are trimmed.
            let clip_ns = threshold_ns.filter(|_| design.slices.is_none());
            let clip_ns = clip_ns.unwrap_or(f64::INFINITY);
            let mut with_calls: Vec<(f64, Calls)> = samples()
                .filter_map(|sample| Some((sample.took_ns, sample.calls?)))
                .collect();
            let all_with_calls = with_calls.len();
            with_calls.retain(|(_, calls)| usize::from(calls.arm) == arm);
            let of_other_arm = all_with_calls - with_calls.len();
            let waited = with_calls.iter().map(|(_, calls)| calls.waited_ns as f64);
            let mut waited_ns: Vec<f64> = waited.map(|ns| ns.min(clip_ns)).collect();
            waited_ns.sort_unstable_by(f64::total_cmp);
            with_calls.retain(|(_, calls)| calls.unreached == 0);
            ArmOfBlock {
                requests: times_ns.len(),
                split: threshold_ns.and_then(|threshold_ns| {
                    Split::of(times_ns.iter().map(|ns| (*ns, 1)), threshold_ns)
                }),
                quantiles_ns: QUANTILES.map(|(quantile, least)| {
                    let is_enough = times_ns.len() >= least;
                    spread::quantile(&times_ns, step_ns, quantile).filter(|_| is_enough)
                }),
                with_records: waited_ns.len(),
                of_other_arm,
                waited_ns: mean(&waited_ns),
                waited_median_ns: spread::quantile(&waited_ns, spread::step(&waited_ns), 0.5),
                recorded: Recorded::of(&with_calls, clip_ns),
                pace: None,
            }
        };
        // What is asked of requests that were drawn each for itself.
        let by_request_ns = threshold_ns.filter(|_| design.slices.is_none());
        Self {
            server,
            round,
            requests: samples.len(),
            step_ns,
            arms: design.arms().map(of_arm).collect(),
            carry_over: by_request_ns.map_or_else(Vec::new, |threshold_ns| {
                carry_over::effects(design, samples, threshold_ns)
            }),
            redrawn_ns: by_request_ns.map_or_else(Vec::new, |threshold_ns| {
                rerandomisation::differences(design, samples, threshold_ns, round)
            }),
        }
    }

    /// One arm minus another, of what may be missing in either.
    pub fn less(
        &self,
        [arm, other]: [usize; 2],
        part: impl Fn(&ArmOfBlock) -> Option<f64>,
    ) -> Option<f64> {
        Some(part(self.arms.get(arm)?)? - part(self.arms.get(other)?)?)
    }
}

impl ArmOfBlock {
    /// Median response time, ns.
    pub fn median_ns(&self) -> Option<f64> {
        self.quantiles_ns[MEDIAN]
    }

    /// 99th percentile of the response time, ns.
    pub fn p99_ns(&self) -> Option<f64> {
        self.quantiles_ns[P99]
    }

    /// The share of response times that are below the threshold.
    pub fn share_below(&self) -> Option<f64> {
        Some(1.0 - self.split?.share_above)
    }

    /// Mean of min(time, threshold).
    pub fn body_ns(&self) -> Option<f64> {
        Some(self.split?.body)
    }
}

impl Recorded {
    /// Of requests: response time and calls.
    fn of(requests: &[(f64, Calls)], threshold_ns: f64) -> Option<Self> {
        let of = |value: fn(&Calls) -> f64| requests.iter().map(move |(_, calls)| value(calls));
        let mean_of = |value: fn(&Calls) -> f64| mean(&of(value).collect::<Vec<_>>());
        let overhead = |value: fn(&Calls) -> f64| {
            let mut values: Vec<f64> = of(value).collect();
            values.sort_unstable_by(f64::total_cmp);
            let clipped: Vec<f64> = values.iter().map(|ns| ns.min(threshold_ns)).collect();
            Some(Overhead {
                mean_ns: mean(&clipped)?,
                median_ns: spread::quantile(&values, spread::step(&values), 0.5)?,
            })
        };
        let calls: f64 = of(|calls| f64::from(calls.count)).sum();
        let waiting: f64 = of(|calls| f64::from(calls.waiting)).sum();
        let mut segments_ns = [0.0; 3];
        for (took_ns, calls) in requests {
            let segments = calls.segments(*took_ns, threshold_ns);
            for (sum, ns) in segments_ns.iter_mut().zip(segments) {
                *sum += ns;
            }
        }
        Some(Self {
            requests: requests.len(),
            whole: overhead(|calls| calls.whole_ns as f64)?,
            after_read: overhead(|calls| calls.after_read_ns as f64)?,
            in_response: overhead(|calls| calls.in_response_ns as f64)?,
            delayed_median_ns: overhead(|calls| (calls.whole_ns + calls.waited_ns) as f64)?
                .median_ns,
            calls: mean_of(|calls| f64::from(calls.count))?,
            bytes: mean_of(|calls| calls.bytes as f64)?,
            share_waiting: waiting / calls,
            segments_ns: segments_ns.map(|sum| sum / requests.len() as f64),
        })
    }
}

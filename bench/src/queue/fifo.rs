//! A queue with one server, first come, first served, and Poisson arrivals.

use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

/// Mean response times of queues at the same rate, one for each distribution of service times, by Lindley's recursion.
///
/// A distribution is a sample in ascending order. All queues have the same arrivals, and their requests the same rank among service
/// times: so what they differ by is the service times alone, and is known far better than the means. `None` for an empty sample.
pub fn mean_responses_ns<const N: usize>(
    services_ns: [&[f64]; N],
    rate_per_second: f64,
    arrivals: u32,
    seed: u64,
) -> Option<[f64; N]> {
    if services_ns.iter().any(|of| of.is_empty()) {
        return None;
    }
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mean_gap_ns = 1e9 / rate_per_second;
    // What a request has waited, and the sum of what all have taken.
    let [mut waits_ns, mut sums_ns] = [[0.0; N]; 2];
    for _ in 0..arrivals {
        let rank: f64 = random.random();
        let gap_ns = -mean_gap_ns * (1.0 - random.random::<f64>()).ln();
        for queue in 0..N {
            let took_ns = waits_ns[queue] + at_rank(services_ns[queue], rank);
            sums_ns[queue] += took_ns;
            waits_ns[queue] = (took_ns - gap_ns).max(0.0);
        }
    }
    Some(sums_ns.map(|sum_ns| sum_ns / f64::from(arrivals)))
}

/// The value at a rank from 0 to below 1.
fn at_rank(sorted: &[f64], rank: f64) -> f64 {
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a share of a length, rounded down"
    )]
    let place = (rank * sorted.len() as f64) as usize;
    sorted[place.min(sorted.len() - 1)]
}

#[cfg(test)]
mod tests {
    use super::*;

    const ARRIVALS: u32 = 4_000_000;

    /// Pollaczek and Khinchine: S + λ E[S²] / (2 (1 - ρ)).
    fn expected_ns(service_ns: f64, square_ns2: f64, load: f64) -> f64 {
        service_ns + load / service_ns * square_ns2 / (2.0 * (1.0 - load))
    }

    #[test]
    fn means_are_those_of_pollaczek_and_khinchine() {
        let mean_ns = 20_000.0;
        let places = 1 << 16;
        let exponential: Vec<f64> = (0..places)
            .map(|place| -mean_ns * (1.0 - (f64::from(place) + 0.5) / f64::from(places)).ln())
            .collect();
        for (load, within) in [(0.3, 0.005), (0.6, 0.01), (0.9, 0.03)] {
            let rate = load / mean_ns * 1e9;
            let services = [exponential.as_slice(), &[mean_ns]];
            let [m, d] = mean_responses_ns(services, rate, ARRIVALS, 1).unwrap();
            let of_m = expected_ns(mean_ns, 2.0 * mean_ns * mean_ns, load);
            let of_d = expected_ns(mean_ns, mean_ns * mean_ns, load);
            assert!((m / of_m - 1.0).abs() < within, "M/M/1 {load}: {m} {of_m}");
            assert!((d / of_d - 1.0).abs() < within, "M/D/1 {load}: {d} {of_d}");
        }
    }

    #[test]
    fn a_difference_is_that_of_pollaczek_and_khinchine() {
        let [short_ns, long_ns] = [20_000.0, 20_500.0];
        for load in [0.3, 0.6, 0.9] {
            let rate = load / short_ns * 1e9;
            let [short, long] =
                mean_responses_ns([&[short_ns], &[long_ns]], rate, ARRIVALS, 2).unwrap();
            let of = |service_ns: f64| {
                expected_ns(service_ns, service_ns * service_ns, rate * service_ns / 1e9)
            };
            let ratio = (long - short) / (of(long_ns) - of(short_ns));
            assert!((ratio - 1.0).abs() < 0.03, "{load}: {ratio}");
        }
    }

    #[test]
    fn nobody_waits_for_a_server_that_is_idle() {
        let [mean_ns] = mean_responses_ns([&[5.0, 7.0]], 1.0, 10_000, 3).unwrap();
        assert!((5.0..=7.0).contains(&mean_ns));
        assert_eq!(mean_responses_ns([&[], &[1.0]], 1.0, 10, 4), None);
    }
}

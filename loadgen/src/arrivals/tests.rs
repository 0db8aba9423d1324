use super::*;

const MEAN_NS: f64 = 20_000.5;

fn plan(spacing: Spacing, block: u32, requests: u64, end_ns: u64) -> Vec<u64> {
    let draws = Draws::new(spacing, MEAN_NS, 7, block);
    let mut arrivals = Arrivals::new(draws, 1_000, end_ns, requests);
    let mut instants = Vec::new();
    while let Some(instant) = arrivals.next_ns() {
        instants.push(instant);
        arrivals.take();
    }
    instants
}

#[test]
fn constant_arrivals_do_not_drift() {
    let instants = plan(Spacing::Constant, 0, 1_000_001, u64::MAX);
    assert_eq!(instants[..3], [1_000, 21_001, 41_001]);
    assert_eq!(instants.last(), Some(&(1_000 + 20_000_500_000)));
}

#[test]
fn a_plan_ends_with_its_requests_or_its_time() {
    assert_eq!(plan(Spacing::Constant, 0, 5, u64::MAX).len(), 5);
    // Due at 1,000, 21,001, 41,001.
    assert_eq!(plan(Spacing::Constant, 0, u64::MAX, 41_002).len(), 3);
    assert_eq!(plan(Spacing::Constant, 0, u64::MAX, 41_001).len(), 2);
    assert!(plan(Spacing::Exponential, 0, 0, u64::MAX).is_empty());
}

#[test]
fn poisson_arrivals_have_exponential_gaps() {
    const COUNT: usize = 200_000;
    let instants = plan(Spacing::Exponential, 0, COUNT as u64, u64::MAX);
    let gaps: Vec<f64> = instants
        .windows(2)
        .map(|pair| (pair[1] - pair[0]) as f64)
        .collect();
    let count = gaps.len() as f64;
    let mean = gaps.iter().sum::<f64>() / count;
    let square = gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>() / count;
    // The mean of n gaps has a standard error of 1/sqrt(n), 0.22 %: six of them.
    assert!((mean / MEAN_NS - 1.0).abs() < 0.014, "{mean}");
    assert!((square.sqrt() / MEAN_NS - 1.0).abs() < 0.02, "{square}");
    // P(gap > t) = exp(-t / mean).
    for multiple in [0.1, 1.0, 3.0] {
        let longer = gaps.iter().filter(|gap| **gap > multiple * MEAN_NS).count();
        let share = longer as f64 / count;
        assert!(
            (share - (-multiple).exp()).abs() < 0.007,
            "{multiple}: {share}"
        );
    }
}

#[test]
fn the_seed_and_the_block_decide() {
    let of_block = |block| plan(Spacing::Exponential, block, 100, u64::MAX);
    assert_eq!(of_block(3), of_block(3));
    assert_ne!(of_block(3), of_block(4));
}

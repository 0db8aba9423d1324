//! How many of a number of independent trials may go wrong.

/// The smallest count that the successes of `trials` independent trials exceed with a probability of at
/// most one minus `probability`, each trial succeeding with probability `each`.
pub fn quantile(trials: u32, each: f64, probability: f64) -> u32 {
    // The probability of 0, then of each count from the one before.
    let mut exactly = (1.0 - each).powf(f64::from(trials));
    let mut at_most = exactly;
    let mut count = 0;
    while at_most < probability && count < trials {
        let odds = each / (1.0 - each);
        exactly *= f64::from(trials - count) / f64::from(count + 1) * odds;
        count += 1;
        at_most += exactly;
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `scipy.stats.binom.ppf(p, n, q)`.
    #[test]
    fn quantiles_are_those_of_scipy() {
        assert_eq!(quantile(60, 0.05, 0.975), 7);
        assert_eq!(quantile(40, 0.05, 0.975), 5);
        assert_eq!(quantile(200, 0.05, 0.975), 16);
        assert_eq!(quantile(10, 0.5, 0.5), 5);
        assert_eq!(quantile(1, 0.05, 0.5), 0);
        assert_eq!(quantile(3, 0.05, 1.0), 3);
        assert_eq!(quantile(0, 0.05, 0.975), 0);
    }
}

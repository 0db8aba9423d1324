//! Re-randomisation: what a comparison of equal arms makes of values when their arms are drawn again.
//!
//! If the arm of a request has no effect on any, each other draw could have been the one (R. A. Fisher, *The Design of
//! Experiments*, 1935, chapter 2). So the differences of redrawn arms are those of chance, with whatever dependence the values
//! have, and intervals made of them must hold 0 as often as they say.

use rand::{RngCore as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

/// The difference of means of two arms, each value in either by the toss of a coin, for so many draws. The same seed draws the
/// same arms. Empty where there is nothing to compare.
pub fn differences(values: &[f64], draws: usize, seed: u64) -> Vec<f64> {
    let total: f64 = values.iter().sum();
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let difference = |_| {
        let (mut count, mut sum) = (0.0, 0.0);
        for values in values.chunks(u64::BITS as usize) {
            let mut bits = random.next_u64();
            for value in values {
                let is_in = (bits & 1) as f64;
                count += is_in;
                sum += is_in * value;
                bits >>= 1;
            }
        }
        let others = values.len() as f64 - count;
        (count > 0.0 && others > 0.0).then(|| sum / count - (total - sum) / others)
    };
    let all: Option<Vec<f64>> = (0..draws).map(difference).collect();
    all.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Moments;

    /// Of n values with this variance, two halves differ with a variance of 4 / n times it.
    #[test]
    fn differences_of_redrawn_arms_are_those_of_chance() {
        let values: Vec<f64> = (0..400).map(|number| f64::from(number % 20)).collect();
        let variance = (20.0 * 20.0 - 1.0) / 12.0;
        let differences = differences(&values, 4_000, 7);
        let found = Moments::of(&differences).unwrap();
        let sd = (4.0 * variance / 400.0_f64).sqrt();
        assert!(
            found.mean.abs() < 4.0 * sd / 4_000.0_f64.sqrt(),
            "{found:?}"
        );
        assert!((found.sd() / sd - 1.0).abs() < 0.05, "{found:?}");
    }

    #[test]
    fn two_values_at_least_are_compared() {
        assert_eq!(differences(&[], 3, 1), [] as [f64; 0]);
        assert_eq!(differences(&[5.0], 3, 1), [] as [f64; 0]);
        assert_eq!(differences(&[5.0, 5.0, 5.0, 5.0], 1, 2), [0.0]);
    }
}

//! Means, plain and trimmed.

use std::fmt;
use std::str::FromStr;

/// Which share of the sorted values is left out at each end before the mean is taken.
///
/// A block of some thousand requests holds a few that an interrupt or the hypervisor stretched by
/// milliseconds; they would decide a plain mean. Every layer is trimmed alike, because a trimmed
/// mean is another quantity than a plain one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Trim {
    fraction_each_end: f64,
}

impl Trim {
    /// Leaves nothing out.
    pub const NONE: Self = Self {
        fraction_each_end: 0.0,
    };

    /// What is left out where nobody says otherwise: a twentieth at each end.
    pub const USUAL: Self = Self {
        fraction_each_end: 0.05,
    };

    /// What a location may lose at each end: a fifth, as is usual with Yuen's test.
    pub const FIFTH: Self = Self {
        fraction_each_end: 0.2,
    };

    /// Leaves `fraction` out at each end. `None` unless it is at least 0 and below one half.
    pub fn each_end(fraction: f64) -> Option<Self> {
        (0.0..0.5).contains(&fraction).then_some(Self {
            fraction_each_end: fraction,
        })
    }

    /// The share left out at each end.
    pub fn fraction_each_end(self) -> f64 {
        self.fraction_each_end
    }

    /// The indices, among `count` sorted values, that are kept. At least one is kept where there is
    /// one.
    pub fn kept(self, count: usize) -> std::ops::Range<usize> {
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a fraction below one half of a count is a smaller count"
        )]
        let cut = (count as f64 * self.fraction_each_end) as usize;
        cut..count - cut
    }

    /// The mean of `values` without the trimmed ends. Sorts `values`. `None` when there are none.
    pub fn mean(self, values: &mut [f64]) -> Option<f64> {
        values.sort_unstable_by(f64::total_cmp);
        mean(&values[self.kept(values.len())])
    }

    /// The same of ascending values, each with how often it occurs.
    pub fn mean_of_counts(self, counts: impl Iterator<Item = (f64, usize)> + Clone) -> Option<f64> {
        let kept = self.kept(counts.clone().map(|(_, count)| count).sum());
        let mut before = 0;
        let mut sum = 0.0;
        for (value, count) in counts {
            let after = before + count;
            let kept_here = after.min(kept.end).saturating_sub(before.max(kept.start));
            sum += kept_here as f64 * value;
            before = after;
        }
        (!kept.is_empty()).then(|| sum / kept.len() as f64)
    }
}

/// The share left out at each end, as options have it.
impl FromStr for Trim {
    type Err = &'static str;

    fn from_str(share: &str) -> Result<Self, Self::Err> {
        let share = share.parse().ok();
        share
            .and_then(Self::each_end)
            .ok_or("must be at least 0 and below 0.5")
    }
}

impl fmt::Display for Trim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.fraction_each_end.fmt(f)
    }
}

/// The arithmetic mean. `None` when there are no values.
pub fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trimmed_mean_ignores_both_ends_alike() {
        let trim = Trim::each_end(0.1).unwrap();
        let mut values = [1e9, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, -1e9];
        assert_eq!(trim.mean(&mut values), Some(5.5));
        assert_eq!(Trim::NONE.mean(&mut [1.0, 2.0, 6.0]), Some(3.0));
    }

    #[test]
    fn the_share_is_read_as_it_is_written() {
        assert_eq!(Trim::USUAL.to_string().parse(), Ok(Trim::USUAL));
        for wrong in ["0.5", "-0.1", "NaN", "5%"] {
            assert!(wrong.parse::<Trim>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn few_values_are_not_trimmed_away() {
        let trim = Trim::each_end(0.49).unwrap();
        assert_eq!(trim.mean(&mut [4.0]), Some(4.0));
        assert_eq!(trim.mean(&mut [4.0, 6.0]), Some(5.0));
        assert_eq!(trim.mean(&mut []), None);
        assert_eq!(trim.kept(101), 49..52);
    }

    #[test]
    fn impossible_fractions_are_refused() {
        assert_eq!(Trim::each_end(0.5), None);
        assert_eq!(Trim::each_end(-0.1), None);
        assert_eq!(Trim::each_end(f64::NAN), None);
    }
}

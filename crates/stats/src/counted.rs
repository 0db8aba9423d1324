//! Values, each with how often it occurs: all that a sample tells but its order, in memory for its distinct values.

use std::iter;

use crate::moments::{Moments, position};
use crate::trim::Trim;

/// The most values that are counted: up to here the number of values is exact as `f64` too.
pub const MOST: u64 = 1 << f64::MANTISSA_DIGITS;

/// A sample without its order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Counted {
    /// Ascending, no two equal.
    pub(crate) values: Vec<f64>,
    /// By value, how many are not above it.
    until: Vec<usize>,
}

/// Means of values that are split at a threshold; body and tail add up to the mean.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Split {
    /// Of min(value, threshold).
    pub body: f64,
    /// Of what is above it.
    pub tail: f64,
    /// Share of the values above it.
    pub share_above: f64,
}

impl Counted {
    /// Values, each of which counts once.
    pub fn of(values: &[f64]) -> Self {
        Self::build(values.iter().map(|value| (*value, 1)).collect())
    }

    /// Values with how often each occurs, in any order. `None` if they are more than [`MOST`].
    pub fn new(counts: impl IntoIterator<Item = (f64, u64)>) -> Option<Self> {
        let counts: Vec<(f64, u64)> = counts.into_iter().collect();
        let mut each = counts.iter().map(|(_, count)| *count);
        let total = each.try_fold(0_u64, u64::checked_add)?;
        let counts = counts.into_iter().map(|(value, count)| {
            let count = usize::try_from(count).ok()?;
            Some((value, count))
        });
        let counts = counts.collect::<Option<_>>()?;
        (total <= MOST).then(|| Self::build(counts))
    }

    /// All values of several samples, which must not be more than [`MOST`].
    pub fn merged<'a>(samples: impl IntoIterator<Item = &'a Self>) -> Self {
        let counts = samples.into_iter().flat_map(Self::counts);
        Self::build(counts.collect())
    }

    fn build(mut counts: Vec<(f64, usize)>) -> Self {
        counts.retain(|(_, count)| *count > 0);
        counts.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
        let mut counted = Self::default();
        let mut total = 0;
        for (value, count) in counts {
            total += count;
            match counted.until.last_mut() {
                Some(until) if counted.values.last() == Some(&value) => *until = total,
                _ => {
                    counted.values.push(value);
                    counted.until.push(total);
                }
            }
        }
        counted
    }

    /// How many values there are.
    pub fn count(&self) -> usize {
        self.before(self.values.len())
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// Distinct values, ascending, each with how often it occurs.
    pub fn counts(&self) -> impl Iterator<Item = (f64, usize)> + Clone {
        let before = iter::once(0).chain(self.until.iter().copied());
        let counts = self.until.iter().zip(before);
        let counts = counts.map(|(until, before)| until - before);
        self.values.iter().copied().zip(counts)
    }

    /// How many values come before this one of the distinct values.
    pub(crate) fn before(&self, distinct: usize) -> usize {
        distinct.checked_sub(1).map_or(0, |last| self.until[last])
    }

    /// How many values are not above a limit.
    pub fn not_above(&self, limit: f64) -> usize {
        self.before(self.distinct_not_above(limit))
    }

    /// The smallest value above a limit.
    pub fn next_above(&self, limit: f64) -> Option<f64> {
        self.values.get(self.distinct_not_above(limit)).copied()
    }

    fn distinct_not_above(&self, limit: f64) -> usize {
        self.values.partition_point(|value| *value <= limit)
    }

    /// The value that so many come before.
    fn ordered(&self, before: usize) -> Option<f64> {
        let distinct = self.until.partition_point(|until| *until <= before);
        self.values.get(distinct).copied()
    }

    /// As [`quantile_of_sorted`](crate::moments::quantile_of_sorted) has it. `None` when there are no values.
    pub fn quantile(&self, quantile: f64) -> Option<f64> {
        let (below, share) = position(self.count(), quantile)?;
        let low = self.ordered(below)?;
        Some(match self.ordered(below + 1) {
            Some(high) => low + share * (high - low),
            None => low,
        })
    }

    /// The moments. `None` below two values.
    pub fn moments(&self) -> Option<Moments> {
        Moments::of_counts(&self.counts())
    }

    /// The mean without the trimmed ends. `None` when there are no values.
    pub fn mean(&self, trim: Trim) -> Option<f64> {
        trim.mean_of_counts(self.counts())
    }

    /// Split at a threshold. `None` when there are no values.
    pub fn split(&self, threshold: f64) -> Option<Split> {
        let all = self.count() as f64;
        let mean = |of: fn(f64, f64) -> f64| {
            let sum: f64 = self
                .counts()
                .map(|(v, n)| n as f64 * of(v, threshold))
                .sum();
            sum / all
        };
        (all > 0.0).then(|| Split {
            body: mean(f64::min),
            tail: mean(|value, threshold| (value - threshold).max(0.0)),
            share_above: (all - self.not_above(threshold) as f64) / all,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::moments::quantile_of_sorted;

    /// Some values with ties, and how often each occurs.
    const COUNTS: [(f64, u64); 5] = [(7.0, 3), (1.0, 2), (4.0, 0), (9.5, 1), (7.0, 1)];
    const WRITTEN_OUT: [f64; 7] = [1.0, 1.0, 7.0, 7.0, 7.0, 7.0, 9.5];

    #[test]
    fn counts_stand_for_values_written_out() {
        let counted = Counted::new(COUNTS).unwrap();
        assert_eq!(counted, Counted::of(&WRITTEN_OUT));
        assert_eq!(counted.count(), 7);
        assert_eq!(counted.values, [1.0, 7.0, 9.5]);
        for quantile in [0.0, 0.2, 0.5, 0.9, 1.0] {
            let expected = quantile_of_sorted(&WRITTEN_OUT, quantile);
            assert_eq!(counted.quantile(quantile), expected, "{quantile}");
        }
        assert_eq!(counted.moments(), Moments::of(&WRITTEN_OUT));
        let trim = Trim::each_end(0.3).unwrap();
        assert_eq!(counted.mean(trim), trim.mean(&mut WRITTEN_OUT.clone()));
        assert_eq!((counted.not_above(0.5), counted.not_above(7.0)), (0, 6));
        assert_eq!(counted.next_above(7.0), Some(9.5));
        assert_eq!(counted.next_above(9.5), None);
        let parts = [
            Counted::of(&WRITTEN_OUT[..3]),
            Counted::of(&WRITTEN_OUT[3..]),
        ];
        assert_eq!(Counted::merged(&parts), counted);
    }

    #[test]
    fn body_and_tail_are_the_mean() {
        let counted = Counted::of(&[1.0, 2.0, 6.0, 11.0]);
        let split = counted.split(5.0).unwrap();
        // 1 + 2 + 5 + 5, and 0 + 0 + 1 + 6.
        assert_eq!(
            (split.body, split.tail, split.share_above),
            (13.0 / 4.0, 7.0 / 4.0, 0.5)
        );
        let highest = counted.split(11.0).unwrap();
        assert_eq!(
            (highest.body, highest.tail, highest.share_above),
            (5.0, 0.0, 0.0)
        );
        assert_eq!(Counted::default().split(5.0), None);
    }

    #[test]
    fn more_than_can_be_counted_is_refused() {
        let most = Counted::new([(1.0, MOST - 1), (2.0, 1)]).unwrap();
        assert_eq!(most.count() as u64, MOST);
        assert_eq!(most.quantile(1.0), Some(2.0));
        assert_eq!(Counted::new([(1.0, MOST), (2.0, 1)]), None);
        assert_eq!(Counted::new([(1.0, u64::MAX), (2.0, u64::MAX)]), None);
    }

    #[test]
    fn nothing_has_no_figures() {
        let none = Counted::new([(1.0, 0)]).unwrap();
        assert!(none.is_empty() && none.count() == 0);
        assert_eq!(
            (none.quantile(0.5), none.moments(), none.mean(Trim::NONE)),
            (None, None, None)
        );
    }
}

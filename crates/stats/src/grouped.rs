//! Means and quantiles of grouped data: values of which only the bucket of a histogram is known.

use crate::trim::Trim;

/// Values of one bucket.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Group {
    /// The smallest value that the bucket holds.
    pub lowest: f64,
    /// The largest.
    pub highest: f64,
    /// How many values are in it.
    pub count: u64,
}

impl Group {
    fn middle(&self) -> f64 {
        f64::midpoint(self.lowest, self.highest)
    }
}

/// The mean of groups in ascending order, without the trimmed ends. Each value counts as its bucket's
/// middle. `None` when there are no values.
pub fn trimmed_mean(groups: &[Group], trim: Trim) -> Option<f64> {
    let total = count(groups);
    let kept = trim.kept(usize::try_from(total).ok()?);
    let (first, end) = (kept.start as u64, kept.end as u64);
    let mut before = 0;
    let mut sum = 0.0;
    for group in groups {
        let after = before + group.count;
        let kept_here = after.min(end).saturating_sub(before.max(first));
        sum += group.middle() * kept_here as f64;
        before = after;
    }
    (end > first).then(|| sum / (end - first) as f64)
}

/// The quantile of groups in ascending order, `quantile` being from 0 to 1. Within its bucket the value
/// is interpolated, as if the bucket's values were spread over it evenly. `None` when there are none.
pub fn quantile(groups: &[Group], quantile: f64) -> Option<f64> {
    let rank = quantile.clamp(0.0, 1.0) * count(groups) as f64;
    let mut before = 0.0;
    let mut last = None;
    for group in groups.iter().filter(|group| group.count > 0) {
        let here = group.count as f64;
        if rank <= before + here {
            let share = (rank - before) / here;
            return Some(group.lowest + share * (group.highest - group.lowest));
        }
        before += here;
        last = Some(group.highest);
    }
    last
}

fn count(groups: &[Group]) -> u64 {
    groups.iter().map(|group| group.count).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(lowest: f64, highest: f64, count: u64) -> Group {
        Group {
            lowest,
            highest,
            count,
        }
    }

    #[test]
    fn exact_groups_have_the_mean_and_median_of_their_values() {
        // 1, 2, 2, 3, 1000: mean 201.6, trimmed by one at each end 7/3, median 2.
        let groups = [
            group(1.0, 1.0, 1),
            group(2.0, 2.0, 2),
            group(3.0, 3.0, 1),
            group(1000.0, 1000.0, 1),
        ];
        assert_eq!(trimmed_mean(&groups, Trim::NONE), Some(201.6));
        let trim = Trim::each_end(0.2).unwrap();
        assert!((trimmed_mean(&groups, trim).unwrap() - 7.0 / 3.0).abs() < 1e-12);
        assert_eq!(quantile(&groups, 0.5), Some(2.0));
        assert_eq!(quantile(&groups, 1.0), Some(1000.0));
        assert_eq!(quantile(&groups, 0.0), Some(1.0));
    }

    #[test]
    fn the_median_is_interpolated_within_its_bucket() {
        // Half of all values lie below 10 + 0.75 * 8.
        let groups = [
            group(0.0, 9.0, 2),
            group(10.0, 18.0, 8),
            group(20.0, 30.0, 6),
        ];
        assert_eq!(quantile(&groups, 0.5), Some(16.0));
    }

    #[test]
    fn trimming_cuts_through_groups() {
        // Ten values; one is cut at each end: three at 1, five at 2.
        let groups = [group(1.0, 1.0, 4), group(2.0, 2.0, 6)];
        let trim = Trim::each_end(0.1).unwrap();
        assert_eq!(trimmed_mean(&groups, trim), Some(13.0 / 8.0));
    }

    #[test]
    fn nothing_has_no_mean_and_no_quantile() {
        assert_eq!(trimmed_mean(&[], Trim::NONE), None);
        assert_eq!(quantile(&[], 0.5), None);
        assert_eq!(quantile(&[group(1.0, 2.0, 0)], 0.5), None);
    }
}

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
    let counts = groups.iter().map(|group| {
        let count = usize::try_from(group.count).ok()?;
        Some((group.middle(), count))
    });
    let counts: Vec<(f64, usize)> = counts.collect::<Option<_>>()?;
    trim.mean_of_counts(counts.into_iter())
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
mod tests;

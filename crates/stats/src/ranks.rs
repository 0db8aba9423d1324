//! What only the order of values decides: Mann-Whitney's U, Cliff's delta, Spearman's correlation.

use crate::counted::Counted;
use crate::distribution::{normal_tail, t_two_sided};

/// Up to this size of the smaller set, and without ties, U's distribution is counted out.
const EXACT_SMALLER: usize = 8;
/// Up to this size of both sets together. Beyond, counting takes long, and the normal approximation is
/// as good.
const EXACT_TOTAL: usize = 500;

/// Outcome of the Mann-Whitney test (Wilcoxon's rank-sum test).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MannWhitney {
    /// Pairs in which the treatment's value is the larger one; ties count one half.
    pub u: f64,
    /// Two-sided probability of a U as far from its middle between equals.
    pub p: f64,
    /// Whether `p` was counted out rather than approximated.
    pub exact: bool,
}

/// The Mann-Whitney test. `p` is exact where the smaller set has at most 8 values, both have at most
/// 500 and no two are equal; otherwise normal, with corrections for ties and continuity. `None` if a
/// set is empty. Values must not be NaN.
pub fn mann_whitney(control: &[f64], treatment: &[f64]) -> Option<MannWhitney> {
    if control.is_empty() || treatment.is_empty() {
        return None;
    }
    let all: Vec<f64> = treatment.iter().chain(control).copied().collect();
    let Ranks { ranks, tie_term } = ranks(&all);
    let (n, m) = (treatment.len() as f64, control.len() as f64);
    let rank_sum: f64 = ranks[..treatment.len()].iter().sum();
    let u = rank_sum - n * (n + 1.0) / 2.0;
    let larger_u = u.max(n * m - u);
    let smaller = control.len().min(treatment.len());
    let exact = tie_term == 0.0 && smaller <= EXACT_SMALLER && all.len() <= EXACT_TOTAL;
    let p = if exact {
        2.0 * exact_tail(larger_u, smaller, all.len())
    } else {
        let total = n + m;
        let variance = n * m / 12.0 * ((total + 1.0) - tie_term / (total * (total - 1.0)));
        2.0 * normal_tail((larger_u - n * m / 2.0 - 0.5) / variance.sqrt())
    };
    // Where all values are equal the variance is 0, and nothing speaks against equality.
    let p = if p.is_nan() { 1.0 } else { p.min(1.0) };
    Some(MannWhitney { u, p, exact })
}

/// P(U >= u) of `chosen` among `total` values without ties, by counting the subsets of ranks by sum.
fn exact_tail(u: f64, chosen: usize, total: usize) -> f64 {
    let highest_u = chosen * (total - chosen);
    // subsets[size][excess]: subsets of the ranks so far, by size and by what their sum is above the
    // smallest of that size.
    let mut subsets = vec![vec![0.0_f64; highest_u + 1]; chosen + 1];
    subsets[0][0] = 1.0;
    for rank in 1..=total {
        for size in (1..=chosen.min(rank)).rev() {
            // The smallest sum of `size` ranks is `size` more than that of one fewer.
            let step = rank - size;
            let (smaller, larger) = subsets.split_at_mut(size);
            let (from, into) = (&smaller[size - 1], &mut larger[0]);
            for excess in step..=highest_u {
                into[excess] += from[excess - step];
            }
        }
    }
    let counts = &subsets[chosen];
    let all: f64 = counts.iter().sum();
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "without ties U is a whole number of pairs"
    )]
    let first = u as usize;
    counts[first.min(highest_u)..].iter().sum::<f64>() / all
}

/// Cliff's delta: the share of pairs in which the treatment's value is larger, minus the share in which
/// it is smaller. From -1 to 1; 0 between equals. `None` if a set is empty.
pub fn cliffs_delta(control: &[f64], treatment: &[f64]) -> Option<f64> {
    if control.is_empty() || treatment.is_empty() {
        return None;
    }
    let balance = larger_minus_smaller(&Counted::of(control), &Counted::of(treatment));
    Some(balance as f64 / (control.len() as f64 * treatment.len() as f64))
}

/// Pairs in which the treatment's value is larger, minus pairs in which it is smaller.
pub(crate) fn larger_minus_smaller(control: &Counted, treatment: &Counted) -> i128 {
    let mut below = 0;
    let mut balance = 0;
    for (value, count) in treatment.counts() {
        while control
            .values
            .get(below)
            .is_some_and(|other| *other < value)
        {
            below += 1;
        }
        let equal = usize::from(control.values.get(below) == Some(&value));
        let smaller = control.before(below);
        let larger = control.count() - control.before(below + equal);
        balance += count as i128 * (smaller as i128 - larger as i128);
    }
    balance
}

/// Outcome of Spearman's rank correlation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spearman {
    /// Correlation of the ranks, from -1 to 1.
    pub rho: f64,
    /// Two-sided probability of one as far from 0 where there is none, by Student's t with n - 2
    /// degrees of freedom. It takes the pairs for independent.
    pub p: f64,
}

/// Spearman's rank correlation of pairs. `None` below three pairs, or if either side does not vary.
///
/// # Panics
/// If the sides differ in length.
pub fn spearman(x: &[f64], y: &[f64]) -> Option<Spearman> {
    assert_eq!(x.len(), y.len(), "pairs have two sides");
    if x.len() < 3 {
        return None;
    }
    let (x, y) = (ranks(x).ranks, ranks(y).ranks);
    let middle = f64::midpoint(x.len() as f64, 1.0);
    let product = |a: &[f64], b: &[f64]| -> f64 {
        let pairs = a.iter().zip(b);
        pairs.map(|(a, b)| (a - middle) * (b - middle)).sum()
    };
    let scale = (product(&x, &x) * product(&y, &y)).sqrt();
    if scale == 0.0 {
        return None;
    }
    let rho = (product(&x, &y) / scale).clamp(-1.0, 1.0);
    let degrees_of_freedom = (x.len() - 2) as f64;
    let t = rho * (degrees_of_freedom / ((rho + 1.0) * (1.0 - rho))).sqrt();
    Some(Spearman {
        rho,
        p: t_two_sided(t, degrees_of_freedom),
    })
}

struct Ranks {
    /// From 1; equal values share the mean of their ranks.
    ranks: Vec<f64>,
    /// Sum of t³ - t over groups of t equal values.
    tie_term: f64,
}

fn ranks(values: &[f64]) -> Ranks {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_unstable_by(|a, b| values[*a].total_cmp(&values[*b]));
    let mut ranks = vec![0.0; values.len()];
    let mut tie_term = 0.0;
    let mut before = 0;
    #[allow(clippy::float_cmp, reason = "ties are values that are exactly equal")]
    for equal in order.chunk_by(|a, b| values[*a] == values[*b]) {
        let count = equal.len() as f64;
        let rank = before as f64 + f64::midpoint(count, 1.0);
        for index in equal {
            ranks[*index] = rank;
        }
        tie_term += count.powi(3) - count;
        before += equal.len();
    }
    Ranks { ranks, tie_term }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cliffs_delta_runs_from_all_smaller_to_all_larger() {
        let low = [1.0, 2.0, 3.0];
        let high = [4.0, 5.0];
        assert_eq!(cliffs_delta(&low, &high), Some(1.0));
        assert_eq!(cliffs_delta(&high, &low), Some(-1.0));
        assert_eq!(cliffs_delta(&low, &low), Some(0.0));
        // 2 against 1, 2, 3: one smaller, one equal, one larger; 3 against them: two larger, one equal.
        assert_eq!(cliffs_delta(&low, &[2.0, 3.0]), Some(1.0 / 3.0));
        assert_eq!(cliffs_delta(&[], &low), None);
    }

    #[test]
    fn equal_values_are_no_evidence() {
        let same = [7.0; 20];
        let outcome = mann_whitney(&same, &same).unwrap();
        assert_eq!((outcome.u, outcome.p), (200.0, 1.0));
        assert!(!outcome.exact);
        assert_eq!(mann_whitney(&[], &same), None);
    }

    #[test]
    fn what_does_not_vary_has_no_correlation() {
        assert_eq!(spearman(&[1.0, 2.0, 3.0], &[5.0; 3]), None);
        assert_eq!(spearman(&[1.0, 2.0], &[1.0, 2.0]), None);
        let perfect = spearman(&[1.0, 2.0, 3.0], &[30.0, 20.0, 10.0]).unwrap();
        assert_eq!((perfect.rho, perfect.p), (-1.0, 0.0));
    }
}

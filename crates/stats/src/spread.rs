//! Quantiles of values from a clock that steps: ties are spread evenly over the step around their value.
//!
//! A clock that steps by 10 ns puts half of all values at one instant, and the plain median of two sets then differs by 0 or
//! by 10. Here the share of values that lie below counts too (the mid-distribution function: Y. Ma, M. G. Genton,
//! E. Parzen, *Asymptotic properties of sample quantiles of discrete distributions*, AISM 63, 2011).

/// The smallest difference between two of these ascending values that are not equal; 1 if all are.
pub fn step(sorted: &[f64]) -> f64 {
    let differences = sorted.windows(2).map(|pair| pair[1] - pair[0]);
    let smallest = differences.filter(|difference| *difference > 0.0);
    smallest.min_by(f64::total_cmp).unwrap_or(1.0)
}

/// The value that this share of ascending values lies below, each being anywhere within half a step of where it is. In the
/// middle of a gap, where the share ends there. `None` when there are no values.
pub fn quantile(sorted: &[f64], step: f64, share: f64) -> Option<f64> {
    let place = share.clamp(0.0, 1.0) * sorted.len() as f64;
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a share of a count, rounded down"
    )]
    let index = (place as usize).min(sorted.len().checked_sub(1)?);
    let value = sorted[index];
    let first = sorted.partition_point(|other| *other < value);
    let ties = sorted[first..].partition_point(|other| *other <= value);
    let within = (place - first as f64) / ties as f64;
    let from = value - step / 2.0;
    Some(match first.checked_sub(1) {
        Some(before) if within == 0.0 => f64::midpoint(sorted[before] + step / 2.0, from),
        _ => from + within * step,
    })
}

/// The median of values in any order, by their own step. Sorts them. `None` when there are none.
pub fn median(values: &mut [f64]) -> Option<f64> {
    values.sort_unstable_by(f64::total_cmp);
    quantile(values, step(values), 0.5)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn median(values: &[f64]) -> f64 {
        super::median(&mut values.to_vec()).unwrap()
    }

    #[test]
    fn distinct_values_have_their_usual_median() {
        assert!((median(&[1.0, 2.0, 3.0, 9.0]) - 2.5).abs() < 1e-12);
        assert!((median(&[1.0, 2.0, 9.0]) - 2.0).abs() < 1e-12);
        assert!((median(&[7.0]) - 7.0).abs() < 1e-12);
        assert_eq!(quantile(&[], 1.0, 0.5), None);
    }

    /// Of ten values at 20 and a step of 10, one more at 10 moves the median down by half a tenth of a step.
    #[test]
    fn the_share_below_moves_the_median_of_ties() {
        let ties = [vec![10.0; 2], vec![20.0; 6], vec![30.0; 2]].concat();
        assert!((step(&ties) - 10.0).abs() < 1e-12);
        assert!((median(&ties) - 20.0).abs() < 1e-12);
        let lower = [vec![10.0; 3], vec![20.0; 6], vec![30.0]].concat();
        assert!((median(&lower) - (15.0 + 10.0 * 2.0 / 6.0)).abs() < 1e-12);
    }

    /// True values are shifted by a fifth of the clock's step, which no plain median sees.
    #[test]
    fn a_shift_below_the_step_is_seen() {
        let read = |shift: f64| -> Vec<f64> {
            let mut values: Vec<f64> = (0..1_000)
                .map(|number| ((f64::from(number) * 0.1 + shift) / 10.0).round() * 10.0)
                .collect();
            values.sort_unstable_by(f64::total_cmp);
            values
        };
        let shift = median(&read(2.0)) - median(&read(0.0));
        assert!((shift - 2.0).abs() < 0.2, "{shift}");
    }
}

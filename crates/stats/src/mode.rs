//! The mode: where values are densest.
//!
//! Beside a neighbour on the other thread of a core, a request takes one of two lengths, and which one is chance. Means and
//! medians then move with the shares of both; the densest place is that of the requests which nothing disturbs, as long
//! as these are many and alike.

/// Of bins to a bandwidth.
const BINS: f64 = 4.0;
/// The kernel is cut off at so many bandwidths.
const REACH: f64 = 4.0;
/// The mode is found when a step is no longer than this share of the bandwidth.
const NEAR: f64 = 1e-5;
/// Steps at most.
const STEPS: usize = 200;

/// The highest maximum of a kernel density estimate with a Gaussian kernel (E. Parzen, *On estimation of a probability
/// density function and mode*, Ann. Math. Statist. 33, 1962) of values from 0 to `end`: the densest bin, then mean shift
/// (K. Fukunaga, L. Hostetler, IEEE Trans. Inf. Theory 21, 1975). Other values do not count; `None` if there is none that
/// does, or no bandwidth.
pub fn mode(values: impl Iterator<Item = f64>, end: f64, bandwidth: f64) -> Option<f64> {
    let mut values: Vec<f64> = values.filter(|value| (0.0..end).contains(value)).collect();
    if values.is_empty() || bandwidth <= 0.0 {
        return None;
    }
    values.sort_unstable_by(f64::total_cmp);
    let mut at = densest(&values, bandwidth)?;
    for _ in 0..STEPS {
        let reach = REACH * bandwidth;
        let from = values.partition_point(|value| *value < at - reach);
        let to = values.partition_point(|value| *value <= at + reach);
        let (mut weights, mut sum) = (0.0, 0.0);
        for value in &values[from..to] {
            let weight = kernel((value - at) / bandwidth);
            weights += weight;
            sum += weight * value;
        }
        let next = sum / weights;
        let step = (next - at).abs();
        at = next;
        if step <= NEAR * bandwidth {
            break;
        }
    }
    Some(at)
}

/// The middle of the bin of ascending values around which the density is highest.
fn densest(sorted: &[f64], bandwidth: f64) -> Option<f64> {
    let width = bandwidth / BINS;
    let bin = |value: f64| (value / width).floor();
    // A value in most bins would be no help: only those with values are kept.
    let mut bins: Vec<(f64, f64)> = Vec::new();
    for of in sorted.chunk_by(|one, other| bin(*one).total_cmp(&bin(*other)).is_eq()) {
        bins.push((bin(of[0]), of.len() as f64));
    }
    let reach = BINS * REACH;
    let density = |place: usize| {
        let (at, _) = bins[place];
        let near = |(other, _): &&(f64, f64)| (other - at).abs() <= reach;
        let below = bins[..place].iter().rev().take_while(near);
        let above = bins[place..].iter().take_while(near);
        let parts = below.chain(above);
        parts
            .map(|(other, count)| count * kernel((other - at) / BINS))
            .sum::<f64>()
    };
    let places = (0..bins.len()).map(|place| (density(place), place));
    let (_, place) = places.max_by(|one, other| one.0.total_cmp(&other.0))?;
    Some((bins[place].0 + 0.5) * width)
}

/// A Gaussian kernel, not scaled.
fn kernel(distance: f64) -> f64 {
    (-0.5 * distance * distance).exp()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// So many values of a triangular density of this half-width around a middle.
    fn triangle(middle: f64, half_width: f64, count: u32) -> impl Iterator<Item = f64> {
        (0..count).map(move |number| {
            let share = (f64::from(number) + 0.5) / f64::from(count);
            let from_middle = 1.0 - (2.0 * share.min(1.0 - share)).sqrt();
            middle + half_width * from_middle.copysign(share - 0.5)
        })
    }

    #[test]
    fn the_mode_of_one_hump_is_its_middle() {
        let found = mode(triangle(5_000.0, 700.0, 1_000), 1e6, 90.0).unwrap();
        assert!((found - 5_000.0).abs() < 1.0, "{found}");
    }

    /// Three quarters of the values are spread widely: the median is among them, the mode is not.
    #[test]
    fn a_narrow_hump_stands_out_of_a_wide_one() {
        let calm = || triangle(23_000.0, 900.0, 1_000);
        let values = calm().chain(triangle(34_000.0, 11_000.0, 3_000));
        let found = mode(values, 1e6, 250.0).unwrap();
        assert!((found - 23_000.0).abs() < 25.0, "{found}");
    }

    #[test]
    fn a_shift_of_all_values_is_that_of_the_mode() {
        let values = || triangle(23_000.0, 900.0, 1_000).chain(triangle(34_000.0, 8_000.0, 500));
        let of = |shift: f64| mode(values().map(|value| value + shift), 1e6, 250.0).unwrap();
        let shift = of(341.0) - of(0.0);
        assert!((shift - 341.0).abs() < 0.1, "{shift}");
    }

    #[test]
    fn there_is_no_mode_of_nothing() {
        assert_eq!(mode([].into_iter(), 1e6, 100.0), None);
        assert_eq!(mode([5.0, f64::NAN].into_iter(), 4.0, 100.0), None);
        assert_eq!(mode([5.0].into_iter(), 10.0, 0.0), None);
        assert_eq!(mode([5.0].into_iter(), 10.0, 1.0), Some(5.0));
    }
}

//! What a comparison of block means could have found, and how many blocks would find more.

use statrs::function::erf::erf;
use statrs::function::gamma::ln_gamma;

use crate::distribution::{normal_quantile, t_quantile};

/// Probability of a false alarm that detection is reckoned with.
pub const ALPHA: f64 = 0.05;
/// Probability of detection that "detectable" means.
pub const POWER: f64 = 0.8;

/// Blocks beyond which nobody would go.
const MOST_BLOCKS: f64 = 1e8;

/// The probability that a two-sided t-test at [`ALPHA`] detects an effect of `effect_in_errors`
/// standard errors.
///
/// That is the tail of the noncentral t distribution: the normal probability of exceeding the critical
/// value, averaged over what the standard error may turn out to be.
pub fn power(effect_in_errors: f64, degrees_of_freedom: f64) -> Option<f64> {
    let critical = t_quantile(1.0 - ALPHA / 2.0, degrees_of_freedom)?;
    let exceeds = |ratio: f64| {
        normal(effect_in_errors - critical * ratio) + normal(-effect_in_errors - critical * ratio)
    };
    Some(averaged_over_error_ratio(exceeds, degrees_of_freedom))
}

fn normal(z: f64) -> f64 {
    f64::midpoint(1.0, erf(z / std::f64::consts::SQRT_2))
}

/// The mean of `f` over s / sigma, the ratio of estimated to true standard error: the square root of a
/// chi-square over its degrees of freedom. Simpson's rule, over all but 1e-14 of the probability.
fn averaged_over_error_ratio(f: impl Fn(f64) -> f64, degrees_of_freedom: f64) -> f64 {
    // With few degrees of freedom the critical value is large, and `f` falls off within a small ratio.
    let steps: u32 = if degrees_of_freedom < 10.0 {
        12_000
    } else {
        2_000
    };
    let half = degrees_of_freedom / 2.0;
    let log_scale = half * half.ln() - ln_gamma(half) + std::f64::consts::LN_2;
    let density = |ratio: f64| {
        if ratio <= 0.0 {
            // With one degree of freedom the density does not vanish at 0.
            return if degrees_of_freedom > 1.0 {
                0.0
            } else {
                log_scale.exp()
            };
        }
        (log_scale + (degrees_of_freedom - 1.0) * ratio.ln() - half * ratio * ratio).exp()
    };
    let spread = 12.0 / (2.0 * degrees_of_freedom).sqrt();
    let (low, high) = ((1.0 - spread).max(0.0), 1.0 + spread);
    let step = (high - low) / f64::from(steps);
    let sum: f64 = (0..=steps)
        .map(|index| {
            let ratio = low + step * f64::from(index);
            let weight = match index {
                index if index == 0 || index == steps => 1.0,
                index if index % 2 == 1 => 4.0,
                _ => 2.0,
            };
            weight * density(ratio) * f(ratio)
        })
        .sum();
    sum * step / 3.0
}

/// The effect, in standard errors, that a two-sided t-test at [`ALPHA`] detects with [`POWER`]. With
/// infinite degrees of freedom the standard error is known.
pub fn detectable_in_errors(degrees_of_freedom: f64) -> Option<f64> {
    if degrees_of_freedom.is_infinite() {
        return Some(normal_quantile(1.0 - ALPHA / 2.0) + normal_quantile(POWER));
    }
    let (mut low, mut high) = (0.0, 4.0);
    while power(high, degrees_of_freedom)? < POWER {
        high *= 2.0;
    }
    for _ in 0..45 {
        let middle = f64::midpoint(low, high);
        if power(middle, degrees_of_freedom)? < POWER {
            low = middle;
        } else {
            high = middle;
        }
    }
    Some(f64::midpoint(low, high))
}

/// The smallest effect that `blocks` pairs of blocks, whose differences have the standard deviation
/// `sd`, would detect. In the unit of `sd`. `None` below two blocks.
pub fn minimum_detectable_effect(sd: f64, blocks: usize) -> Option<f64> {
    let degrees_of_freedom = blocks.checked_sub(1).filter(|count| *count > 0)?;
    let in_errors = detectable_in_errors(degrees_of_freedom as f64)?;
    Some(in_errors * sd / (blocks as f64).sqrt())
}

/// How many pairs of blocks would detect `effect`. `None` if no number within reason would, or if the
/// effect is 0.
pub fn required_blocks(sd: f64, effect: f64) -> Option<usize> {
    let effect = effect.abs();
    if effect.is_nan() || effect == 0.0 || sd.is_nan() {
        return None;
    }
    // Were `sd` known exactly this many would do; that it is estimated asks for a few more.
    let known = (detectable_in_errors(f64::INFINITY)? * sd / effect).powi(2);
    if known > MOST_BLOCKS {
        return None;
    }
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "from 0 to a bound that fits"
    )]
    let known = known as usize;
    (known.max(2)..=known + 1000).find(|blocks| {
        minimum_detectable_effect(sd, *blocks).is_some_and(|detectable| detectable <= effect)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_required_blocks_are_just_enough() {
        for effect in [0.1, 0.5, 1.0, 3.0] {
            let blocks = required_blocks(1.0, effect).unwrap();
            assert!(minimum_detectable_effect(1.0, blocks).unwrap() <= effect);
            if blocks > 2 {
                assert!(minimum_detectable_effect(1.0, blocks - 1).unwrap() > effect);
            }
        }
        assert_eq!(required_blocks(1.0, 0.0), None);
        assert_eq!(required_blocks(1.0, 1e-9), None);
        assert_eq!(minimum_detectable_effect(1.0, 1), None);
    }

    #[test]
    fn no_effect_is_found_as_often_as_false_alarms_are_allowed() {
        for degrees_of_freedom in [1.0, 2.0, 9.0, 1000.0] {
            let power = power(0.0, degrees_of_freedom).unwrap();
            assert!((power - ALPHA).abs() < 1e-9, "{power}");
        }
    }
}

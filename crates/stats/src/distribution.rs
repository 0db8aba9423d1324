//! The tails and quantiles of the normal and of Student's t distribution.

use statrs::distribution::{Continuous as _, ContinuousCDF as _, Normal, StudentsT};
use statrs::function::beta::checked_beta_reg;

/// From here on the incomplete beta function loses digits to cancellation between logarithms of
/// gamma functions, and the expansion around the normal distribution has more of them.
const MANY_DEGREES: f64 = 20_000.0;

/// P(|T| >= |t|) for Student's t with `degrees_of_freedom`. Computed from the tail itself rather than
/// as 1 minus the rest, so that small probabilities keep their digits. Below 1e-308 it is 0.
pub fn t_two_sided(t: f64, degrees_of_freedom: f64) -> f64 {
    if degrees_of_freedom > MANY_DEGREES {
        return 2.0 * normal_tail(normal_equivalent(t, degrees_of_freedom));
    }
    let share = degrees_of_freedom / (degrees_of_freedom + t * t);
    checked_beta_reg(degrees_of_freedom / 2.0, 0.5, share).unwrap_or(f64::NAN)
}

/// The normal deviate with the tail of |t|: G. W. Hill, *Algorithm 395: Student's t-distribution*,
/// CACM 13 (1970). What it leaves out is of the order of the third power of 1/(48 df²).
fn normal_equivalent(t: f64, degrees_of_freedom: f64) -> f64 {
    let a = degrees_of_freedom - 0.5;
    let b = 48.0 * a * a;
    let y = a * (t * t / degrees_of_freedom).ln_1p();
    let second = (((-0.4 * y - 3.3) * y - 24.0) * y - 85.5) / (0.8 * y * y + 100.0 + b);
    ((second + y + 3.0) / b + 1.0) * y.sqrt()
}

/// The value that Student's t with `degrees_of_freedom` stays below with `probability`.
/// `None` unless there are degrees of freedom and the probability lies between 0 and 1.
pub fn t_quantile(probability: f64, degrees_of_freedom: f64) -> Option<f64> {
    if !(probability > 0.0 && probability < 1.0) {
        return None;
    }
    let distribution = StudentsT::new(0.0, 1.0, degrees_of_freedom).ok()?;
    // statrs' inverse has lost its digits at some thousand degrees of freedom, where the normal
    // quantile is a start as good. Newton's steps from there end within rounding.
    let mut t = if degrees_of_freedom > 500.0 {
        normal_quantile(probability)
    } else {
        distribution.inverse_cdf(probability)
    };
    let tail = probability.min(1.0 - probability);
    let sign = if probability < 0.5 { -1.0 } else { 1.0 };
    for _ in 0..4 {
        let excess = t_two_sided(t, degrees_of_freedom) / 2.0 - tail;
        t += sign * excess / distribution.pdf(t);
    }
    Some(t)
}

/// P(Z >= z) for a standard normal Z.
pub fn normal_tail(z: f64) -> f64 {
    Normal::standard().sf(z)
}

/// P(Z <= z) for a standard normal Z.
pub fn normal_cdf(z: f64) -> f64 {
    Normal::standard().cdf(z)
}

/// The value that a standard normal stays below with `probability`.
pub fn normal_quantile(probability: f64) -> f64 {
    Normal::standard().inverse_cdf(probability)
}

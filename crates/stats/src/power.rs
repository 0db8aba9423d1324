//! What a comparison of block means could have found, and how many blocks would find more.

use statrs::function::erf::erf;
use statrs::function::gamma::ln_gamma;

use crate::distribution::{normal_quantile, t_quantile};
use crate::location::Location;

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
    let steps = if degrees_of_freedom < 10.0 {
        12_000
    } else {
        2_000
    };
    averaged_in_steps(f, degrees_of_freedom, steps)
}

fn averaged_in_steps(f: impl Fn(f64) -> f64, degrees_of_freedom: f64, steps: u32) -> f64 {
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

/// What a run showed of the error of a mean, for planning the next.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pilot {
    /// Observations.
    pub count: usize,
    /// The standard error of their mean.
    pub standard_error: f64,
    /// Its degrees of freedom.
    pub degrees_of_freedom: f64,
}

impl From<Location> for Pilot {
    fn from(of: Location) -> Self {
        Self {
            count: of.count,
            standard_error: of.standard_error,
            degrees_of_freedom: of.degrees_of_freedom,
        }
    }
}

/// What the next run shall show with [`POWER`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Aim {
    /// That a difference of this size is not 0.
    Detect(f64),
    /// That a difference which is 0 lies within this much of it: that the whole 95 % interval does.
    Within(f64),
}

impl Pilot {
    /// How many observations like those of the pilot a run needs. `None` if no number within reason is enough.
    ///
    /// The pilot's standard error is itself an estimate: one that is too small by chance promises too much. So the number is the
    /// one with which the power is [`POWER`] on the average over what the true error may be. To take the pilot's for the true one
    /// gives a power of 0.7 after a pilot of eight.
    pub fn required(self, aim: Aim) -> Option<usize> {
        self.required_with(aim, POWER)
    }

    /// The same with another power.
    pub fn required_with(self, aim: Aim, power: f64) -> Option<usize> {
        let sd = self.standard_error * (self.count as f64).sqrt();
        let is_enough = |count: usize| {
            let shrunk = count as f64 / self.count as f64;
            let freedom = (shrunk * self.degrees_of_freedom).max(1.0);
            let in_errors = |size: f64| size.abs() * (count as f64).sqrt() / sd;
            self.average_power(aim, in_errors, freedom)
                .is_some_and(|reached| reached >= power)
        };
        let mut high = 2;
        while !is_enough(high) {
            high *= 2;
            if high as f64 > MOST_BLOCKS {
                return None;
            }
        }
        let mut low = high / 2;
        while high - low > 1 {
            let middle = usize::midpoint(low, high);
            if is_enough(middle) {
                high = middle;
            } else {
                low = middle;
            }
        }
        Some(high)
    }

    fn average_power(self, aim: Aim, in_errors: impl Fn(f64) -> f64, freedom: f64) -> Option<f64> {
        // Two nested averages, of figures that are known to two digits anyway.
        const STEPS: u32 = 60;
        let critical = t_quantile(1.0 - ALPHA / 2.0, freedom)?;
        let power = |of_pilot: f64| {
            let chance = |ratio: f64| match aim {
                Aim::Detect(size) => {
                    let size = in_errors(size) * of_pilot;
                    normal(size - critical * ratio) + normal(-size - critical * ratio)
                }
                Aim::Within(margin) => {
                    let room = in_errors(margin) * of_pilot - critical * ratio;
                    (2.0 * normal(room) - 1.0).max(0.0)
                }
            };
            averaged_in_steps(chance, freedom, STEPS)
        };
        Some(averaged_in_steps(power, self.degrees_of_freedom, STEPS))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A pilot of endless observations knows its error: then a run needs what makes an effect as large as it detects.
    #[test]
    fn after_a_long_pilot_the_required_number_is_just_enough() {
        for effect in [0.1, 0.5, 1.0] {
            let count = 1_000_000;
            let pilot = Pilot {
                count,
                standard_error: 1e-3,
                degrees_of_freedom: (count - 1) as f64,
            };
            let needed = pilot.required(Aim::Detect(effect)).unwrap();
            assert!(minimum_detectable_effect(1.0, needed).unwrap() <= effect * 1.01);
            assert!(minimum_detectable_effect(1.0, needed - 1).unwrap() > effect * 0.99);
        }
    }

    /// The advice of a run, followed by the next, over and over: pilots of normal noise and the run that they ask for.
    #[test]
    fn advice_that_is_followed_has_the_power_that_it_promises() {
        const RUNS: u32 = 500;
        let mut noise = crate::simulation::Noise::seeded(17);
        for (pilots, margin) in [(8, 0.5), (16, 0.3)] {
            let mut shown = 0;
            let mut detected = 0;
            for _ in 0..RUNS {
                let pilot = Pilot::from(Location::of(&noise.normal(pilots)).unwrap());
                let run = |aim, shift: f64, noise: &mut crate::simulation::Noise| {
                    let values = noise.normal(pilot.required(aim).unwrap());
                    let values: Vec<f64> = values.iter().map(|value| value + shift).collect();
                    Location::of(&values).unwrap().interval().unwrap()
                };
                let within = run(Aim::Within(margin), 0.0, &mut noise);
                shown += u32::from(within.ci95.iter().all(|end| end.abs() <= margin));
                let apart = run(Aim::Detect(margin), margin, &mut noise);
                detected += u32::from(!apart.contains(0.0));
            }
            for (what, count) in [("shown", shown), ("detected", detected)] {
                let power = f64::from(count) / f64::from(RUNS);
                assert!(
                    (0.77..=0.85).contains(&power),
                    "{pilots}, {margin}: {what} {power}"
                );
            }
        }
    }

    #[test]
    fn nothing_is_promised_where_no_number_is_enough() {
        let pilot = Pilot {
            count: 8,
            standard_error: 1.0,
            degrees_of_freedom: 5.0,
        };
        assert_eq!(pilot.required(Aim::Detect(0.0)), None);
        assert_eq!(pilot.required(Aim::Within(1e-9)), None);
        assert_eq!(pilot.required(Aim::Within(f64::NAN)), None);
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

//! Where values lie along an axis, and which of them are labelled.

/// A mapping of values to places in a drawing.
#[derive(Clone, Copy, Debug)]
pub struct Scale {
    kind: Kind,
    values: [f64; 2],
    places: [f64; 2],
}

/// How values are spaced.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    /// Equal differences are equal distances.
    Linear,
    /// Equal ratios are.
    Logarithmic,
    /// Equal differences are equal distances up to this far from 0, and equal ratios beyond.
    Symmetric(f64),
    /// Quantiles; each further nine (0.9, 0.99, 0.999) is as far as the one before, as `HdrHistogram` plots them.
    Nines,
}

impl Scale {
    /// Equal differences are equal distances. Ends are widened to labelled values.
    pub fn linear(values: [f64; 2], places: [f64; 2]) -> Self {
        let [low, high] = widened(values);
        let step = step(high - low, 6);
        let values = [(low / step).floor() * step, (high / step).ceil() * step];
        Self {
            kind: Kind::Linear,
            values,
            places,
        }
    }

    /// The same between these very ends.
    pub fn exactly(values: [f64; 2], places: [f64; 2]) -> Self {
        Self {
            kind: Kind::Linear,
            values: widened(values),
            places,
        }
    }

    /// Equal ratios are equal distances. Values must be positive; others are taken for the least that is.
    pub fn logarithmic(values: [f64; 2], places: [f64; 2]) -> Self {
        let low = values[0].max(f64::MIN_POSITIVE);
        let high = values[1].max(low);
        let values = if high > low {
            [low, high]
        } else {
            [low / 2.0, high * 2.0]
        };
        Self {
            kind: Kind::Logarithmic,
            values,
            places,
        }
    }

    /// Logarithmic on both sides of 0, and linear up to about `linear` from it.
    pub fn symmetric(linear: f64, values: [f64; 2], places: [f64; 2]) -> Self {
        Self {
            kind: Kind::Symmetric(linear.max(f64::MIN_POSITIVE)),
            values: widened(values),
            places,
        }
    }

    /// Quantiles from 0 to `most` (below 1).
    pub fn nines(most: f64, places: [f64; 2]) -> Self {
        Self {
            kind: Kind::Nines,
            values: [0.0, most.clamp(0.9, 1.0 - 1e-9)],
            places,
        }
    }

    fn spaced(&self, value: f64) -> f64 {
        match self.kind {
            Kind::Linear => value,
            Kind::Logarithmic => value.max(f64::MIN_POSITIVE).ln(),
            Kind::Symmetric(linear) => (value / linear).asinh(),
            Kind::Nines => -(1.0 - value).max(1e-9).log10(),
        }
    }

    /// Where a value lies. Values beyond the ends lie at the ends.
    pub fn place(&self, value: f64) -> f64 {
        let [low, high] = self.values.map(|end| self.spaced(end));
        let share = ((self.spaced(value) - low) / (high - low)).clamp(0.0, 1.0);
        self.places[0] + share * (self.places[1] - self.places[0])
    }

    /// The ends.
    pub fn values(&self) -> [f64; 2] {
        self.values
    }

    /// Values to label, about `most` at the most.
    pub fn ticks(&self, most: usize) -> Vec<f64> {
        let [low, high] = self.values;
        match self.kind {
            Kind::Linear => linear_ticks(low, high, most),
            Kind::Logarithmic => logarithmic_ticks(low, high, most),
            Kind::Symmetric(linear) => symmetric_ticks(linear, [low, high], most),
            Kind::Nines => [0.0, 0.5, 0.9, 0.99, 0.999, 0.9999, 0.99999, 0.999_999]
                .into_iter()
                .filter(|quantile| *quantile <= high)
                .collect(),
        }
    }
}

/// A power of ten's exponent.
#[allow(
    clippy::cast_possible_truncation,
    reason = "exponents of doubles are within 308 of 0"
)]
fn whole(exponent: f64) -> i32 {
    exponent as i32
}

/// Ends that are apart.
fn widened([low, high]: [f64; 2]) -> [f64; 2] {
    if high > low {
        [low, high]
    } else {
        let half = (low.abs() / 10.0).max(0.5);
        [low - half, low + half]
    }
}

/// The least of 1, 2 and 5 times a power of ten that divides a span into at most so many parts.
fn step(span: f64, parts: usize) -> f64 {
    let least = span / parts.max(1) as f64;
    let power = 10_f64.powf(least.log10().floor());
    let factors = [1.0, 2.0, 5.0, 10.0];
    // The product may be off in its last bit.
    let factor = factors
        .into_iter()
        .find(|factor| factor * power >= least * (1.0 - 1e-9));
    factor.unwrap_or(10.0) * power
}

fn linear_ticks(low: f64, high: f64, most: usize) -> Vec<f64> {
    let step = step(high - low, most.saturating_sub(1).max(1));
    let first = (low / step - 1e-9).ceil();
    (0..100)
        .map(|index| (first + f64::from(index)) * step)
        .take_while(|value| *value <= high + 1e-9 * step)
        .collect()
}

fn logarithmic_ticks(low: f64, high: f64, most: usize) -> Vec<f64> {
    // Within less than a decade round numbers at equal distances read best.
    if high / low < 8.0 {
        return linear_ticks(low, high, most);
    }
    let all = |factors: &[f64]| -> Vec<f64> {
        let powers = whole(low.log10().floor())..=whole(high.log10().ceil());
        powers
            .flat_map(|power| {
                factors
                    .iter()
                    .map(move |factor| factor * 10_f64.powi(power))
            })
            .filter(|value| (low..=high).contains(value))
            .collect()
    };
    let choices: [&[f64]; 3] = [&[1.0, 2.0, 5.0], &[1.0, 3.0], &[1.0]];
    choices
        .map(all)
        .into_iter()
        .find(|ticks| ticks.len() <= most)
        .unwrap_or_else(|| all(&[1.0]))
}

/// 0, and powers of ten from the linear part's end on.
fn symmetric_ticks(linear: f64, [low, high]: [f64; 2], most: usize) -> Vec<f64> {
    let farthest = high.max(-low);
    let first = whole(linear.log10().ceil());
    let last = whole(farthest.log10().floor()).max(first);
    let sides = usize::from(low < 0.0) + usize::from(high > 0.0);
    let all = usize::try_from(last - first + 1).unwrap_or(1) * sides;
    let every = all.div_ceil(most.max(1)).max(1);
    let powers = (first..=last)
        .rev()
        .step_by(every)
        .map(|power| 10_f64.powi(power));
    let mut ticks: Vec<f64> = powers
        .flat_map(|power| [-power, power])
        .chain([0.0])
        .filter(|value| (low..=high).contains(value))
        .collect();
    ticks.sort_unstable_by(f64::total_cmp);
    ticks
}

#[cfg(test)]
mod tests;

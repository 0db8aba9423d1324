//! Numbers for people: rounded to what is known of them, in a unit of their size, with thousands apart. Terminal, page
//! and the words of a verdict print by these rules; a page sets minus signs and spaces in its own way.

use crate::estimate::{Estimate, Unit};

/// Units of time, each with what it is in ns and the size in ns from which the next is taken.
const TIMES: [(&str, f64, f64); 4] = [
    ("ns", 1.0, 1e4),
    ("µs", 1e3, 1e6),
    ("ms", 1e6, 1e9),
    ("s", 1e9, f64::INFINITY),
];
/// Decimals beyond which nothing is printed.
const MOST_DECIMALS: i32 = 6;
/// Below this a probability is not told from 0.
const LEAST_P: f64 = 1e-300;

/// A unit of time for durations up to `most_ns`: its name, and how many nanoseconds it has.
pub fn unit_of_time(most_ns: f64) -> (&'static str, f64) {
    let mut units = TIMES.into_iter();
    let fits = units.find(|(_, _, end_ns)| most_ns.abs() < *end_ns);
    let (name, ns, _) = fits.unwrap_or(TIMES[TIMES.len() - 1]);
    (name, ns)
}

/// How numbers that belong together are printed: in one unit, with the same decimals.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Print {
    /// The unit's name; empty for plain numbers.
    unit: &'static str,
    /// What one of it is in the unit of the value.
    divisor: f64,
    decimals: usize,
}

impl Print {
    /// For values of which the largest is `most` and nothing else is known: to four digits, whole nanoseconds to three.
    pub fn of(unit: Unit, most: f64) -> Self {
        let print = Self::in_unit(unit, most);
        let size = most.abs() / print.divisor;
        let digits = if print.unit == "ns" { 3 } else { 4 };
        print.with_decimals(digits - 1 - if size > 0.0 { exponent(size) } else { digits })
    }

    /// For durations in nanoseconds of which the largest is `most`.
    pub fn ns(most: f64) -> Self {
        Self::of(Unit::Ns, most)
    }

    /// For an estimate and its interval: half of its width has two digits.
    pub fn estimate(estimate: &Estimate) -> Self {
        let [low, high] = estimate.ci95;
        let most = estimate.estimate.abs().max(low.abs()).max(high.abs());
        let half_width = (high - low) / 2.0;
        if !(half_width > 0.0 && half_width.is_finite()) {
            return Self::of(estimate.unit, most);
        }
        let print = Self::in_unit(estimate.unit, most);
        print.with_decimals(1 - exponent(half_width / print.divisor))
    }

    fn in_unit(unit: Unit, most: f64) -> Self {
        let (unit, divisor) = match unit {
            Unit::Ns => unit_of_time(most),
            Unit::Ms => {
                let (name, ns) = unit_of_time(most * 1e6);
                (name, ns / 1e6)
            }
            Unit::Bytes => ("B", 1.0),
            Unit::Calls | Unit::One => ("", 1.0),
        };
        Self {
            unit,
            divisor,
            decimals: 0,
        }
    }

    fn with_decimals(self, decimals: i32) -> Self {
        let decimals = usize::try_from(decimals.clamp(0, MOST_DECIMALS)).unwrap_or(0);
        Self { decimals, ..self }
    }

    /// The number without its unit.
    pub fn number(&self, value: f64) -> String {
        decimal(value / self.divisor, self.decimals)
    }

    /// The number with its unit.
    pub fn text(&self, value: f64) -> String {
        let number = self.number(value);
        if self.unit.is_empty() {
            number
        } else {
            format!("{number} {}", self.unit)
        }
    }
}

/// The power of ten of the first digit.
#[allow(
    clippy::cast_possible_truncation,
    reason = "exponents of doubles are within 324 of 0"
)]
fn exponent(size: f64) -> i32 {
    size.log10().floor() as i32
}

/// A single value.
pub fn value(value: f64, unit: Unit) -> String {
    Print::of(unit, value).text(value)
}

/// A single duration in nanoseconds.
pub fn ns(ns: f64) -> String {
    value(ns, Unit::Ns)
}

/// An estimate, and its interval alike: `1,176 ns` and `[1,153 ns, 1,199 ns]`.
pub fn estimate(estimate: &Estimate) -> [String; 2] {
    let print = Print::estimate(estimate);
    let [low, high] = estimate.ci95.map(|end| print.text(end));
    [print.text(estimate.estimate), format!("[{low}, {high}]")]
}

/// A number with thousands apart.
pub fn decimal(value: f64, decimals: usize) -> String {
    if !value.is_finite() {
        return "–".to_owned();
    }
    let text = format!("{:.decimals$}", value.abs());
    let is_zero = text.chars().all(|c| matches!(c, '0' | '.'));
    let sign = if value < 0.0 && !is_zero { "-" } else { "" };
    let (whole, rest) = text
        .split_once('.')
        .map_or((text.as_str(), ""), |parts| parts);
    let point = if rest.is_empty() { "" } else { "." };
    format!("{sign}{}{point}{rest}", grouped(whole))
}

/// Digits with thousands apart.
fn grouped(digits: &str) -> String {
    let mut grouped = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// A probability; one too small for its format is not printed as 0.
pub fn probability(p: f64) -> String {
    match p {
        p if p < LEAST_P => "< 1e-300".to_owned(),
        p if p < 1e-4 => format!("{p:.1e}"),
        p => format!("{p:.4}"),
    }
}

/// A quantile as a percentile: p99.9.
pub fn percentile(quantile: f64) -> String {
    // 0.999 × 100 is not 99.9 to the last bit.
    let percent = (quantile * 1e8).round() / 1e6;
    format!("p{percent}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_thousands_apart() {
        assert_eq!(decimal(1_234_567.0, 0), "1,234,567");
        assert_eq!(decimal(-1_234.567, 2), "-1,234.57");
        assert_eq!(decimal(999.6, 0), "1,000");
        assert_eq!(decimal(-0.4, 0), "0");
        assert_eq!(decimal(f64::NAN, 0), "–");
    }

    #[test]
    fn single_values_take_a_unit_and_digits_of_their_size() {
        for (ns_, text) in [
            (0.0, "0 ns"),
            (0.4234, "0.423 ns"),
            (23.41, "23.4 ns"),
            (148.87, "149 ns"),
            (-1_234.4, "-1,234 ns"),
            (21_127.6, "21.13 µs"),
            (3.1e6, "3.100 ms"),
            (4.2e10, "42.00 s"),
            (f64::INFINITY, "– s"),
        ] {
            assert_eq!(ns(ns_), text);
        }
        assert_eq!(value(0.000_6, Unit::Ms), "600 ns");
        assert_eq!(value(2.595, Unit::Ms), "2.595 ms");
        assert_eq!(value(256.0, Unit::Bytes), "256.0 B");
        assert_eq!(value(1.0, Unit::Calls), "1.000");
    }

    fn of(estimate: f64, ci95: [f64; 2], unit: Unit) -> String {
        let text = self::estimate(&Estimate {
            estimate,
            ci95,
            unit,
            estimand: String::new(),
            method: String::new(),
            blocks: 2,
        });
        text.join(" ")
    }

    #[test]
    fn half_of_an_intervals_width_shows_two_digits() {
        let texts = [
            (
                of(148.87, [121.2, 176.6], Unit::Ns),
                "149 ns [121 ns, 177 ns]",
            ),
            (
                of(148.87, [148.35, 149.39], Unit::Ns),
                "148.87 ns [148.35 ns, 149.39 ns]",
            ),
            (
                of(0.000_2, [0.000_17, 0.000_23], Unit::Ms),
                "200 ns [170 ns, 230 ns]",
            ),
            (
                of(21_544.0, [-500.0, 43_588.0], Unit::Ns),
                "22 µs [0 µs, 44 µs]",
            ),
            (
                of(12_345.0, [12_341.9, 12_348.1], Unit::Ns),
                "12.3450 µs [12.3419 µs, 12.3481 µs]",
            ),
            (of(0.1, [0.08, 0.12], Unit::One), "0.100 [0.080, 0.120]"),
            (of(2.5, [2.5, 2.5], Unit::Ns), "2.50 ns [2.50 ns, 2.50 ns]"),
        ];
        for (found, expected) in texts {
            assert_eq!(found, expected);
        }
    }

    #[test]
    fn a_probability_that_underflows_is_no_zero() {
        assert_eq!(probability(0.0), "< 1e-300");
        assert_eq!(probability(3.2e-301), "< 1e-300");
        assert_eq!(probability(3.21e-17), "3.2e-17");
        assert_eq!(probability(0.04), "0.0400");
    }

    #[test]
    fn percentiles_are_named_as_usual() {
        let names = [0.5, 0.9, 0.99, 0.999, 0.9999].map(percentile);
        assert_eq!(names, ["p50", "p90", "p99", "p99.9", "p99.99"]);
    }
}

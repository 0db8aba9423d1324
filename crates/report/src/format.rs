//! Numbers for people: rounded, in a unit of their size, with thousands apart.

use maud::{Markup, html};
use runlog::estimate::{Estimate, Unit};

/// A unit to print numbers in, and to how many decimals.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Print {
    /// The unit's name; empty for plain numbers.
    pub unit: &'static str,
    /// What one of it is in the unit of the value.
    pub divisor: f64,
    /// Decimals.
    pub decimals: usize,
}

impl Print {
    /// For durations in nanoseconds of which the largest is `most`.
    pub fn ns(most: f64) -> Self {
        let (unit, divisor, decimals) = match most.abs() {
            most if most < 1e4 => ("ns", 1.0, 0),
            most if most < 1e6 => ("µs", 1e3, 2),
            most if most < 1e9 => ("ms", 1e6, 2),
            _ => ("s", 1e9, 2),
        };
        Self {
            unit,
            divisor,
            decimals,
        }
    }

    /// For values of this unit of which the largest is `most`.
    pub fn of(unit: Unit, most: f64) -> Self {
        match unit {
            Unit::Ns => Self::ns(most),
            Unit::Ms => Self {
                unit: "ms",
                divisor: 1.0,
                decimals: 4,
            },
            Unit::Bytes => Self {
                unit: "B",
                divisor: 1.0,
                decimals: 1,
            },
            Unit::Calls | Unit::One => Self {
                unit: "",
                divisor: 1.0,
                decimals: 3,
            },
        }
    }

    /// For an estimate and its interval.
    pub fn estimate(estimate: &Estimate) -> Self {
        let [low, high] = estimate.ci95;
        let most = estimate.estimate.abs().max(low.abs()).max(high.abs());
        Self::of(estimate.unit, most)
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
            format!("{number}\u{a0}{}", self.unit)
        }
    }
}

/// A number with thousands apart, and with a true minus sign.
pub fn decimal(value: f64, decimals: usize) -> String {
    if !value.is_finite() {
        return "–".to_owned();
    }
    let text = format!("{:.decimals$}", value.abs());
    let is_zero = text.chars().all(|c| matches!(c, '0' | '.'));
    let sign = if value < 0.0 && !is_zero { "−" } else { "" };
    let (whole, rest) = text
        .split_once('.')
        .map_or((text.as_str(), ""), |parts| parts);
    let point = if rest.is_empty() { "" } else { "." };
    format!("{sign}{}{point}{rest}", grouped(whole))
}

/// Digits with thousands apart.
pub fn grouped(digits: &str) -> String {
    let mut grouped = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// A count.
pub fn count(value: u64) -> String {
    decimal(value as f64, 0)
}

/// A quantile as a percentile: p99.9.
pub fn percentile(quantile: f64) -> String {
    // 0.999 × 100 is not 99.9 to the last bit.
    let percent = (quantile * 1e8).round() / 1e6;
    format!("p{percent}")
}

/// A share in per cent.
pub fn percent(share: f64, decimals: usize) -> String {
    format!("{}\u{a0}%", decimal(100.0 * share, decimals))
}

/// A probability; one too small for its format is not printed as 0.
pub fn probability(p: Option<f64>) -> String {
    match p {
        None => "–".to_owned(),
        Some(p) if p < 1e-300 => "<\u{a0}1e-300".to_owned(),
        Some(p) if p < 1e-4 => format!("{p:.1e}"),
        Some(p) => format!("{p:.4}"),
    }
}

/// A figure of a file: its text, and where it stands there (`file#/json/pointer`), by which tests hold the one against
/// the other.
pub fn figure(at: &str, value: f64, text: &str) -> Markup {
    html! { data value=(value) data-figure=(at) { (text) } }
}

/// A count of a file.
pub fn count_figure(at: &str, value: u64) -> Markup {
    figure(at, value as f64, &count(value))
}

/// An estimate's value.
pub fn value(at: &str, estimate: &Estimate) -> Markup {
    let print = Print::estimate(estimate);
    figure(
        &format!("{at}/estimate"),
        estimate.estimate,
        &print.text(estimate.estimate),
    )
}

/// An estimate's interval.
pub fn interval(at: &str, estimate: &Estimate) -> Markup {
    let print = Print::estimate(estimate);
    let [low, high] = estimate.ci95;
    html! {
        span class="interval" {
            "[" (figure(&format!("{at}/ci95/0"), low, &print.text(low)))
            ", " (figure(&format!("{at}/ci95/1"), high, &print.text(high))) "]"
        }
    }
}

/// Both.
pub fn value_and_interval(at: &str, estimate: &Estimate) -> Markup {
    html! { (value(at, estimate)) " " (interval(at, estimate)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_thousands_apart_and_a_true_minus() {
        assert_eq!(decimal(1_234_567.0, 0), "1,234,567");
        assert_eq!(decimal(-1_234.567, 2), "−1,234.57");
        assert_eq!(decimal(999.6, 0), "1,000");
        assert_eq!(decimal(-0.4, 0), "0");
        assert_eq!(decimal(f64::NAN, 0), "–");
    }

    #[test]
    fn durations_take_a_unit_of_their_size() {
        assert_eq!(Print::ns(149.0).text(148.87), "149\u{a0}ns");
        assert_eq!(Print::ns(21_127.6).text(21_127.6), "21.13\u{a0}µs");
        assert_eq!(Print::ns(3.1e6).text(3.1e6), "3.10\u{a0}ms");
        // The ends of an interval have the unit of the largest.
        assert_eq!(Print::ns(21_544.0).text(-500.0), "−0.50\u{a0}µs");
    }

    #[test]
    fn percentiles_are_named_as_usual() {
        let names = [0.5, 0.9, 0.99, 0.999, 0.9999].map(percentile);
        assert_eq!(names, ["p50", "p90", "p99", "p99.9", "p99.99"]);
    }

    #[test]
    fn a_probability_that_underflows_is_no_zero() {
        assert_eq!(probability(Some(0.0)), "<\u{a0}1e-300");
        assert_eq!(probability(Some(0.04)), "0.0400");
        assert_eq!(probability(None), "–");
    }
}

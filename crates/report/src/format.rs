//! Numbers for pages: as [`quantity`] has them, with a true minus sign and spaces that do not break.

use maud::{Markup, html};
use runlog::estimate::{Estimate, Unit};
pub use runlog::quantity::percentile;
use runlog::quantity::{self, Print};

/// A number as it stands on a page.
pub fn typeset(number: &str) -> String {
    number.replace('-', "−").replace(' ', "\u{a0}")
}

/// A duration in nanoseconds.
pub fn ns(ns: f64) -> String {
    in_unit(ns, Unit::Ns)
}

/// A value of this unit.
pub fn in_unit(value: f64, unit: Unit) -> String {
    typeset(&quantity::value(value, unit))
}

/// A number with thousands apart.
pub fn decimal(value: f64, decimals: usize) -> String {
    typeset(&quantity::decimal(value, decimals))
}

/// A count.
pub fn count(value: u64) -> String {
    decimal(value as f64, 0)
}

/// A share in per cent.
pub fn percent(share: f64, decimals: usize) -> String {
    format!("{}\u{a0}%", decimal(100.0 * share, decimals))
}

/// A probability.
pub fn probability(p: Option<f64>) -> String {
    p.map_or_else(|| "–".to_owned(), quantity::probability)
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
    let text = typeset(&Print::estimate(estimate).text(estimate.estimate));
    figure(&format!("{at}/estimate"), estimate.estimate, &text)
}

/// An estimate's interval.
pub fn interval(at: &str, estimate: &Estimate) -> Markup {
    let print = Print::estimate(estimate);
    let text = |end: f64| typeset(&print.text(end));
    let [low, high] = estimate.ci95;
    html! {
        span class="interval" {
            "[" (figure(&format!("{at}/ci95/0"), low, &text(low)))
            ", " (figure(&format!("{at}/ci95/1"), high, &text(high))) "]"
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
    fn numbers_have_a_true_minus_and_spaces_that_do_not_break() {
        assert_eq!(decimal(-1_234.567, 2), "−1,234.57");
        assert_eq!(ns(-21_127.6), "−21.13\u{a0}µs");
        assert_eq!(probability(None), "–");
    }
}

//! The figures of a page: what it shows, and where it says that this stands.

use anyhow::Context as _;
use serde_json::Value;

use crate::cdp::Browser;

/// A figure of a page.
#[derive(Clone, Debug, PartialEq)]
pub struct Figure {
    /// The file and the JSON pointer.
    pub at: String,
    /// The number that the page keeps beside the text.
    pub value: f64,
    /// The text.
    pub text: String,
    /// The unit of the text around it, for a text without one.
    pub unit: String,
}

/// All figures, with the unit at the end of the text that each is part of.
const COLLECT: &str = "[...document.querySelectorAll('[data-figure]')].map(element => [
    element.dataset.figure,
    Number(element.getAttribute('value') ?? element.dataset.value),
    element.textContent,
    element.closest('text')?.textContent.match(/(ns|µs|ms|s)\\]?$/)?.[1] ?? '',
])";

impl Figure {
    /// Those of the page that a browser shows.
    pub fn all(browser: &mut Browser) -> anyhow::Result<Vec<Self>> {
        let found = browser.value(COLLECT)?;
        let found = found.as_array().context("no list")?;
        let text = |value: &Value| value.as_str().map(str::to_owned);
        found
            .iter()
            .map(|figure| {
                Some(Self {
                    at: text(&figure[0])?,
                    value: figure[1].as_f64()?,
                    text: text(&figure[2])?,
                    unit: text(&figure[3])?,
                })
            })
            .collect::<Option<_>>()
            .context("a figure without text or value")
    }
}

/// Whether a text says a value, to half a unit of its last digit.
pub fn agrees(text: &str, unit_around: &str, value: f64) -> bool {
    let plain = text.replace('−', "-").replace(',', "");
    let (number, unit) = plain.split_once('\u{a0}').unwrap_or((&plain, unit_around));
    let Ok(shown) = number.parse::<f64>() else {
        return false;
    };
    let scale = match unit {
        "µs" => 1e3,
        "ms" => 1e6,
        "s" => 1e9,
        "%" => 0.01,
        _ => 1.0,
    };
    let decimals = number
        .split_once('.')
        .map_or(0, |(_, decimals)| decimals.len());
    let last_digit = scale * 0.1_f64.powi(i32::try_from(decimals).unwrap_or(i32::MAX));
    (shown * scale - value).abs() <= 0.500_001 * last_digit
}

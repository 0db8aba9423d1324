//! Many trials of one kind: what each of them estimates, and how many may miss what is known.

use std::ffi::OsStr;
use std::fmt::Debug;
use std::path::Path;
use std::process::Stdio;

use anyhow::{Context as _, ensure};
use serde_json::Value;

use crate::command::{command, release};
use crate::interrupt;
use crate::privilege::NOT_USABLE;

/// An interval of 95 % misses what it estimates so often.
const MISSES: f64 = 0.05;
/// More than [`may_miss`] do in about one of 300 sound series.
const ALARMS: f64 = 1.0 / 290.0;

/// An estimate of each run.
#[derive(Default)]
pub struct Series {
    pub estimates: Vec<f64>,
    pub half_widths: Vec<f64>,
    pub missed: usize,
}

impl Series {
    pub fn add(&mut self, estimate: &Value, truth: f64) -> anyhow::Result<()> {
        let number = |pointer| number(estimate, pointer);
        let (low, high) = (number("/ci95/0")?, number("/ci95/1")?);
        self.estimates.push(number("/estimate")?);
        self.half_widths.push((high - low) / 2.0);
        self.missed += usize::from(!(low..=high).contains(&truth));
        Ok(())
    }
}

/// A number of a result.
pub fn number(of: &Value, pointer: &str) -> anyhow::Result<f64> {
    let found = of.pointer(pointer).and_then(Value::as_f64);
    found.with_context(|| format!("a result without {pointer}: {of}"))
}

/// The middle one of some values.
pub fn median(values: &[f64]) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// How many of so many sound intervals of 95 % may miss.
pub fn may_miss(runs: usize) -> usize {
    // The probability of 0 misses, then of each number from the one before.
    let mut exactly = (1.0 - MISSES).powf(runs as f64);
    let mut at_most = exactly;
    let mut missed = 0;
    while 1.0 - at_most > ALARMS && missed < runs {
        exactly *= (runs - missed) as f64 / (missed + 1) as f64 * MISSES / (1.0 - MISSES);
        missed += 1;
        at_most += exactly;
    }
    missed
}

/// Runs a trial of our hook, and returns its analysis: also where the machine made the result unusable.
pub fn bench<Word: AsRef<OsStr> + Debug>(out: &Path, arguments: &[Word]) -> anyhow::Result<Value> {
    interrupt::check()?;
    let mut bench = command(release().join("probe-user"));
    bench
        .args(["bench", "--no-probes", "--json"])
        .args(arguments.iter().take_while(|word| word.as_ref() != "--"))
        .arg("--out")
        .arg(out)
        .args(arguments.iter().skip_while(|word| word.as_ref() != "--"));
    let output = bench.stderr(Stdio::inherit()).output();
    let output = output.with_context(|| format!("cannot start {bench:?}"))?;
    let code = output.status.code();
    ensure!(
        code == Some(0) || code == Some(NOT_USABLE.into()),
        "{bench:?} failed ({})",
        output.status
    );
    serde_json::from_slice(&output.stdout).context("the output of bench --json")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// `scipy.stats.binom.ppf(289 / 290, runs, 0.05)`.
    #[test]
    fn so_many_may_miss_as_the_binomial_distribution_has_it() {
        assert_eq!([1, 20, 40, 60].map(may_miss), [1, 4, 6, 8]);
        assert_eq!(may_miss(0), 0);
    }

    #[test]
    fn an_interval_holds_its_ends_and_nothing_beyond() {
        let mut series = Series::default();
        let estimate = json!({"estimate": 7.0, "ci95": [5.0, 11.0]});
        for truth in [5.0, 11.0, 4.9, 11.1] {
            series.add(&estimate, truth).unwrap();
        }
        assert_eq!(series.missed, 2);
        assert_eq!((series.estimates[0], series.half_widths[0]), (7.0, 3.0));
        assert!(series.add(&json!({"estimate": null}), 0.0).is_err());
        assert_eq!(median(&[3.0, 1.0, 2.0]).to_bits(), 2.0_f64.to_bits());
    }
}

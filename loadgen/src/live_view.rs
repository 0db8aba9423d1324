//! The live view on a terminal: how far the run is, and for each arm what the last second had.

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use runlog::live::{ArmProgress, Progress};

/// Lines at the bottom of the terminal, on stderr.
#[derive(Debug)]
pub struct LiveView {
    total: ProgressBar,
    arms: Vec<ProgressBar>,
    /// What each arm had in the last interval in which it had a turn, and its errors so far.
    last: Vec<(Option<ArmProgress>, u64)>,
    width: usize,
}

impl LiveView {
    /// The view of a run of these arms that has this many requests to send, where that is known.
    pub fn new(names: &[String], planned: Option<u64>) -> Self {
        let lines = MultiProgress::new(); // on stderr
        let total = lines.add(match planned {
            Some(planned) => ProgressBar::new(planned).with_style(style(
                "{bar:30} {human_pos}/{human_len} requests  {elapsed}  {eta} left",
            )),
            None => ProgressBar::no_length().with_style(style("{human_pos} requests  {elapsed}")),
        });
        let arms: Vec<_> = names
            .iter()
            .map(|_| lines.add(ProgressBar::no_length().with_style(style("{msg}"))))
            .collect();
        Self {
            total,
            last: vec![(None, 0); arms.len()],
            arms,
            width: names.iter().map(String::len).max().unwrap_or(0),
        }
    }

    /// Shows an interval that is over.
    pub fn show(&mut self, progress: &Progress) {
        self.total
            .inc(progress.arms.iter().map(|arm| arm.requests).sum());
        let lines = self.arms.iter().zip(&mut self.last);
        for (arm, (line, (last, errors))) in progress.arms.iter().zip(lines) {
            *errors += arm.errors;
            if arm.active_ns > 0 {
                *last = Some(arm.clone());
            }
            if let Some(last) = last {
                line.set_message(describe(last, *errors, self.width));
            }
        }
    }
}

impl Drop for LiveView {
    fn drop(&mut self) {
        for line in self.arms.iter().chain([&self.total]) {
            line.finish_and_clear();
        }
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

fn describe(arm: &ArmProgress, errors: u64, width: usize) -> String {
    let rate = arm.requests_per_second.unwrap_or(0.0);
    format!(
        "{:<width$}  {rate:>9.0} requests/s  p50 {:>8}  p99 {:>8}  {errors} errors",
        arm.name,
        time(arm.p50_ns),
        time(arm.p99_ns)
    )
}

/// A response time with three digits or more.
fn time(ns: Option<u64>) -> String {
    let Some(ns) = ns else {
        return "-".to_owned();
    };
    let us = ns as f64 / 1e3;
    match us {
        ..10.0 => format!("{us:.2} µs"),
        ..100.0 => format!("{us:.1} µs"),
        ..1e4 => format!("{us:.0} µs"),
        _ => format!("{:.0} ms", us / 1e3),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_arm_takes_one_line() {
        let arm = ArmProgress {
            name: "hooked".to_owned(),
            requests: 10,
            errors: 0,
            active_ns: 1,
            requests_per_second: Some(98_123.4),
            p50_ns: Some(9_120),
            p90_ns: None,
            p99_ns: Some(21_400_000),
        };
        let line = describe(&arm, 2, 8);
        assert_eq!(
            line,
            "hooked        98123 requests/s  p50  9.12 µs  p99    21 ms  2 errors"
        );
    }

    #[test]
    fn times_keep_their_digits() {
        let shown = |ns| time(Some(ns));
        assert_eq!(shown(12_345), "12.3 µs");
        assert_eq!(shown(123_456), "123 µs");
        assert_eq!(shown(9_999_000), "9999 µs");
        assert_eq!(time(None), "-");
    }
}

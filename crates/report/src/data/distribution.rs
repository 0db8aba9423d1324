//! Response times of an arm by percentile, from its HDR log.

use std::io::ErrorKind;

use hdrhistogram::Histogram;
use runlog::{Error, RunDirectory, interval_log};

use crate::run::{Part, said};

/// Points of a curve.
const POINTS: u32 = 160;

/// How an arm's response times are distributed: probes detached, outside the warm-up.
#[derive(Debug)]
pub struct Distribution {
    /// The arm.
    pub arm: String,
    /// Its response times in nanoseconds.
    pub histogram: Histogram<u64>,
}

impl Distribution {
    /// The largest quantile that the data has something to say about: with n values 1 - 1/n.
    pub fn most(&self) -> f64 {
        1.0 - 1.0 / (self.histogram.len().max(10) as f64)
    }

    /// Quantile and value, equally far apart on an axis of nines.
    pub fn curve(&self) -> Vec<(f64, f64)> {
        let nines = -(1.0 - self.most()).log10();
        (0..=POINTS)
            .map(|step| 1.0 - 10_f64.powf(-nines * f64::from(step) / f64::from(POINTS)))
            .map(|quantile| (quantile, self.histogram.value_at_quantile(quantile) as f64))
            .collect()
    }
}

/// The distributions of those of the arms that have a log.
pub fn distributions<'a>(
    directory: &RunDirectory,
    arms: impl Iterator<Item = &'a str>,
) -> Part<Vec<Distribution>> {
    let mut found = Vec::new();
    for arm in arms {
        let intervals = match interval_log::read(directory.interval_log(arm)) {
            Ok(intervals) => intervals,
            Err(Error::Io { source, .. }) if source.kind() == ErrorKind::NotFound => continue,
            Err(error) => return Err(said(&error)),
        };
        let mut histogram = interval_log::new_histogram();
        for interval in intervals
            .iter()
            .filter(|interval| interval.has_response_times())
        {
            histogram
                .add(&interval.histogram)
                .map_err(|error| format!("{arm}.hlog: {error}"))?;
        }
        if !histogram.is_empty() {
            found.push(Distribution {
                arm: arm.to_owned(),
                histogram,
            });
        }
    }
    if found.is_empty() {
        return Err(
            "no arm has an HDR log with response times: no request succeeded, or the run was stopped before they were \
             written"
                .into(),
        );
    }
    Ok(found)
}

//! Summaries while a trace goes on: `probe-user trace --interval`. The kernel goes on adding to the
//! histograms while they are read.

use std::collections::BTreeMap;
use std::io::{self, Write as _};
use std::time::{Duration, Instant};

use abi::SpanKind;
use anyhow::Context as _;
use runlog::calibration::Calibration;
use runlog::trace::{INTERVAL_SCHEMA, Interval};

use crate::command::trace::summary;
use crate::show;
use probes::Probes;
use probes::spans::Durations;

/// Prints what each interval has added.
#[derive(Debug)]
pub struct Live {
    every: Duration,
    as_json: bool,
    attached: Instant,
    calibration: Option<Calibration>,
    printed_until_s: f64,
    /// What has been printed, by kind.
    printed: BTreeMap<&'static str, Durations>,
}

impl Live {
    /// Starts the first interval.
    pub fn begin(
        every: Duration,
        as_json: bool,
        attached: Instant,
        calibration: Option<Calibration>,
    ) -> Self {
        Self {
            every,
            as_json,
            attached,
            calibration,
            printed_until_s: 0.0,
            printed: BTreeMap::new(),
        }
    }

    /// When the interval ends.
    pub fn due(&self) -> Instant {
        self.attached + Duration::from_secs_f64(self.printed_until_s) + self.every
    }

    /// Ends the interval: prints it, and starts the next.
    pub fn print(&mut self, probes: &Probes) -> anyhow::Result<()> {
        let until_s = self.attached.elapsed().as_secs_f64();
        let mut spans = BTreeMap::new();
        for kind in SpanKind::ALL {
            let name = kind.name();
            let durations = probes.durations(0, kind)?;
            let mut added = durations.clone();
            if let Some(printed) = self.printed.get(name) {
                let shrunk = "a histogram has shrunk";
                added
                    .histogram
                    .subtract(&printed.histogram)
                    .context(shrunk)?;
                added.sum_ns -= printed.sum_ns;
            }
            if !added.histogram.is_empty() {
                let summary = summary(kind, &added, self.calibration.as_ref());
                spans.insert(name.to_owned(), summary);
                self.printed.insert(name, durations);
            }
        }
        let interval = Interval {
            schema: INTERVAL_SCHEMA.to_owned(),
            from_s: self.printed_until_s,
            until_s,
            spans,
        };
        self.printed_until_s = until_s;
        let text = if self.as_json {
            serde_json::to_string(&interval)?
        } else {
            show::trace::interval(&interval)
        };
        writeln!(io::stdout(), "{text}").context("cannot print")
    }
}

//! What a load that is under way says of itself: `loadgen run --live`, one JSON object a line.

use serde::{Deserialize, Serialize};

use crate::manifest::Schedule;
use crate::summary::LoadSummary;

/// One line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum LiveEvent {
    /// The first requests are about to be sent.
    Started(Started),
    /// An interval is over: a second, or what was left at the end.
    Progress(Progress),
    /// The run has ended and its files are written.
    Done {
        /// The same as in `load.json`. Unlike progress, it leaves warm-up out.
        summary: Box<LoadSummary>,
    },
}

/// What is to come.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Started {
    /// Names of the arms, in the order of the command line.
    pub arms: Vec<String>,
    /// Requests that are planned, of all arms together; null where time ends the run.
    pub requests: Option<u64>,
    /// How requests will be laid out.
    pub schedule: Schedule,
    /// Wall-clock time at the start, in nanoseconds since 1970.
    pub started_unix_ns: u64,
}

/// What happened in one interval, warm-up included.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Progress {
    /// From the start of the run to the end of the interval.
    pub elapsed_ns: u64,
    /// How long the interval was.
    pub interval_ns: u64,
    /// One entry an arm, in the order of the command line.
    pub arms: Vec<ArmProgress>,
}

/// One arm in one interval.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ArmProgress {
    /// Its name.
    pub name: String,
    /// Requests that ended, failed ones among them.
    pub requests: u64,
    /// Requests that ended without a complete 2xx response.
    pub errors: u64,
    /// How much of the interval fell into blocks of this arm: arms take turns.
    pub active_ns: u64,
    /// Requests that succeeded, per second of `active_ns`; null where the arm had no turn.
    pub requests_per_second: Option<f64>,
    /// Median response time of requests that succeeded; null where none did. Like all quantiles, it
    /// carries the histogram's error of at most 0.8 %.
    pub p50_ns: Option<u64>,
    /// 90th percentile.
    pub p90_ns: Option<u64>,
    /// 99th percentile.
    pub p99_ns: Option<u64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_have_a_stable_shape() {
        let line = concat!(
            r#"{"event":"progress","elapsed_ns":2000000000,"interval_ns":1000000000,"#,
            r#""arms":[{"name":"a","requests":3,"errors":1,"active_ns":500000000,"#,
            r#""requests_per_second":4.0,"p50_ns":10,"p90_ns":20,"p99_ns":null}]}"#
        );
        let event = LiveEvent::Progress(Progress {
            elapsed_ns: 2_000_000_000,
            interval_ns: 1_000_000_000,
            arms: vec![ArmProgress {
                name: "a".to_owned(),
                requests: 3,
                errors: 1,
                active_ns: 500_000_000,
                requests_per_second: Some(4.0),
                p50_ns: Some(10),
                p90_ns: Some(20),
                p99_ns: None,
            }],
        });
        assert_eq!(serde_json::to_string(&event).unwrap(), line);
        assert_eq!(serde_json::from_str::<LiveEvent>(line).unwrap(), event);
    }
}

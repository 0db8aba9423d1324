//! Latency at a generator's own sockets, as our probes see it.

use crate::running::Running;
use anyhow::Context as _;
use serde::Deserialize;
use stats::grouped::{Group, quantile};

/// Our probes, attached to a generator.
#[derive(Debug)]
pub struct Observer(Running);

/// What they saw.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Observed {
    /// Round trips on connections to the server.
    pub round_trips: u64,
    /// Their median.
    pub p50_ns: f64,
    /// Their 99th percentile.
    pub p99_ns: f64,
}

/// What `bench round-trips` prints, as far as it is of use here.
#[derive(Deserialize)]
struct Printed {
    round_trips: u64,
    connections_not_followed: u64,
    /// Smallest value, the smallest of the next bucket, count.
    buckets: Vec<(f64, f64, u64)>,
}

impl Observer {
    /// Attaches to a process that is to connect to a port.
    pub fn start(pid: u32, port: u16) -> anyhow::Result<Self> {
        let mut command = vec![std::env::current_exe()?.into()];
        let (pid, port) = (pid.to_string(), port.to_string());
        command.extend(["round-trips", "--pid", &pid, "--port", &port].map(Into::into));
        let running = Running::start(&command, "attached to");
        running.map(Self).context("the probes")
    }

    /// Detaches.
    pub fn stop(self) -> anyhow::Result<Observed> {
        let printed = self.0.stop().context("the probes")?;
        observed(&printed)
    }
}

fn observed(text: &str) -> anyhow::Result<Observed> {
    let printed: Printed = serde_json::from_str(text).context("the probes printed no JSON")?;
    anyhow::ensure!(
        printed.connections_not_followed == 0,
        "the probes could not follow {} connections",
        printed.connections_not_followed
    );
    let bins: Vec<Group> = printed
        .buckets
        .iter()
        .map(|&(lowest, highest, count)| Group {
            lowest,
            highest,
            count,
        })
        .collect();
    let at = |share| quantile(&bins, share).context("the probes have seen no round trip");
    Ok(Observed {
        round_trips: printed.round_trips,
        p50_ns: at(0.5)?,
        p99_ns: at(0.99)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_those_of_the_buckets() {
        let text = r#"{"round_trips":4,"connections":1,"connections_not_followed":0,
            "buckets":[[1000,1008,2],[2000,2016,2]]}"#;
        let found = observed(text).unwrap();
        assert_eq!(found.round_trips, 4);
        assert!((found.p50_ns - 1_008.0).abs() < 1e-9, "{found:?}");
        let lost = text.replace("followed\":0", "followed\":7");
        assert!(observed(&lost).unwrap_err().to_string().contains('7'));
        let none = r#"{"round_trips":0,"connections_not_followed":0,"buckets":[]}"#;
        assert!(observed(none).is_err());
    }
}

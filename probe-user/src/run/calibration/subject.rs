//! One set of probes under calibration: what it sees of calls that do next to nothing, and what those
//! calls take with it and without.

use anyhow::ensure;
use hdrhistogram::Histogram;
use probe_common::SpanKind;
use stats::{Trim, grouped};

use super::process::Worker;
use super::words::{CALLS_TIMED_TOGETHER, Call};
use crate::probes::Probes;

/// One kind of call, and the spans that the probes make of it.
#[derive(Clone, Copy, Debug)]
pub struct Part {
    /// The call.
    pub call: Call,
    /// The spans.
    pub kind: SpanKind,
}

/// What one round has found of a part, in ns.
#[derive(Clone, Copy, Debug)]
#[allow(clippy::struct_field_names, reason = "units belong into names")]
pub struct Round {
    /// What a call takes with the probes detached.
    pub bare_ns: f64,
    /// What it takes with them attached.
    pub watched_ns: f64,
    /// Mean of the durations that the probes saw.
    pub seen_mean_ns: f64,
    /// Their median.
    pub seen_median_ns: f64,
}

/// Probes under calibration.
#[allow(missing_debug_implementations, reason = "the eBPF object has none")]
pub struct Subject {
    /// Its place in the result.
    pub place: usize,
    /// What to call them.
    pub name: String,
    /// The probes. Their one target is the calibrated process.
    pub probes: Probes,
    /// What is called.
    pub parts: Vec<Part>,
    /// The rounds of each part.
    pub rounds: Vec<Vec<Round>>,
}

impl Subject {
    /// A subject without rounds.
    pub fn new(place: usize, name: String, probes: Probes, parts: Vec<Part>) -> Self {
        Self {
            place,
            name,
            probes,
            rounds: vec![Vec::new(); parts.len()],
            parts,
        }
    }

    /// One round: each part with the probes attached and with them detached, in the order asked for.
    pub async fn round(
        &mut self,
        worker: &mut Worker,
        calls: u32,
        trim: Trim,
        detached_first: bool,
    ) -> anyhow::Result<()> {
        let mut bare_ns = Vec::new();
        if detached_first {
            bare_ns = self.bare(worker, calls).await?;
        }
        self.probes.attach()?;
        let watched = self.watched(worker, calls, trim).await;
        self.probes.detach()?;
        let watched = watched?;
        if !detached_first {
            bare_ns = self.bare(worker, calls).await?;
        }
        for ((rounds, watched), bare_ns) in self.rounds.iter_mut().zip(watched).zip(bare_ns) {
            rounds.push(Round { bare_ns, ..watched });
        }
        Ok(())
    }

    async fn bare(&self, worker: &mut Worker, calls: u32) -> anyhow::Result<Vec<f64>> {
        let mut bare_ns = Vec::new();
        for Part { call, .. } in &self.parts {
            warm_up(worker, *call).await?;
            bare_ns.push(worker.make(*call, calls).await?.mean_ns);
        }
        Ok(bare_ns)
    }

    async fn watched(
        &self,
        worker: &mut Worker,
        calls: u32,
        trim: Trim,
    ) -> anyhow::Result<Vec<Round>> {
        let mut rounds = Vec::new();
        for Part { call, kind } in &self.parts {
            // This also makes the connection known to the probes: only writes on known ones are timed.
            warm_up(worker, *call).await?;
            let before = self.probes.histogram(0, *kind)?;
            let watched_ns = worker.make(*call, calls).await?.mean_ns;
            let mut seen = self.probes.histogram(0, *kind)?;
            seen.subtract(&before)?;
            ensure!(
                seen.len() == u64::from(calls),
                "of {calls} calls the probes saw {} as {kind:?}",
                seen.len()
            );
            let seen = groups(&seen);
            rounds.push(Round {
                bare_ns: f64::NAN,
                watched_ns,
                seen_mean_ns: grouped::trimmed_mean(&seen, trim).unwrap_or(f64::NAN),
                seen_median_ns: grouped::quantile(&seen, 0.5).unwrap_or(f64::NAN),
            });
        }
        Ok(rounds)
    }
}

async fn warm_up(worker: &mut Worker, call: Call) -> anyhow::Result<()> {
    worker
        .make(call, 2 * CALLS_TIMED_TOGETHER)
        .await
        .map(|_| ())
}

fn groups(histogram: &Histogram<u64>) -> Vec<grouped::Group> {
    histogram
        .iter_recorded()
        .map(|step| grouped::Group {
            lowest: histogram.lowest_equivalent(step.value_iterated_to()) as f64,
            highest: histogram.highest_equivalent(step.value_iterated_to()) as f64,
            count: step.count_at_value(),
        })
        .collect()
}

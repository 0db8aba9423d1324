//! One set of probes under calibration: what it sees of calls that do next to nothing, and what those
//! calls take with it and without.

use abi::SpanKind;
use anyhow::ensure;
use hdrhistogram::Histogram;
use stats::{Trim, grouped};

use super::process::Worker;
use super::words::{Answer, CALLS_TIMED_TOGETHER, Call, Order};
use super::{calls, calls_after_pause};
use probes::Probes;

/// One kind of call, and the spans that the probes make of it.
#[derive(Clone, Copy, Debug)]
pub struct Part {
    /// The call.
    pub call: Call,
    /// The spans.
    pub kind: SpanKind,
}

/// What one round has found of a part.
#[derive(Clone, Copy, Debug)]
pub struct Round {
    /// With the probes detached.
    pub bare: Bare,
    /// With them attached.
    pub watched: Watched,
}

/// What calls take with the probes detached.
#[derive(Clone, Copy, Debug)]
pub struct Bare {
    /// One call among many, in ns.
    pub back_to_back_ns: f64,
    /// One that follows a pause, in ns; one clock read is in it.
    pub after_pause_ns: f64,
}

/// What calls take with the probes attached, and what the probes see of them.
#[derive(Clone, Copy, Debug)]
#[allow(clippy::struct_field_names, reason = "units belong into names")]
pub struct Watched {
    /// What one call takes among many, in ns.
    pub back_to_back_ns: f64,
    /// Mean of the durations that the probes saw of these, in ns.
    pub seen_mean_ns: f64,
    /// Their median, in ns.
    pub seen_median_ns: f64,
    /// Median of the durations that the probes saw of calls that follow a pause, in ns.
    pub seen_after_pause_ns: f64,
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
        trim: Trim,
        detached_first: bool,
    ) -> anyhow::Result<()> {
        let mut bare = Vec::new();
        if detached_first {
            bare = self.bare(worker).await?;
        }
        self.probes.attach()?;
        let watched = self.watched(worker, trim).await;
        self.probes.detach()?;
        let watched = watched?;
        if !detached_first {
            bare = self.bare(worker).await?;
        }
        for ((rounds, watched), bare) in self.rounds.iter_mut().zip(watched).zip(bare) {
            rounds.push(Round { bare, watched });
        }
        Ok(())
    }

    async fn bare(&self, worker: &mut Worker) -> anyhow::Result<Vec<Bare>> {
        let mut bare = Vec::new();
        for Part { call, .. } in &self.parts {
            warm_up(worker, *call).await?;
            bare.push(Bare {
                back_to_back_ns: worker.make(calls(*call)).await?.mean_ns,
                after_pause_ns: worker.make(calls_after_pause(*call)).await?.median_ns,
            });
        }
        Ok(bare)
    }

    async fn watched(&self, worker: &mut Worker, trim: Trim) -> anyhow::Result<Vec<Watched>> {
        let mut watched = Vec::new();
        for part in &self.parts {
            // This also makes the connection known to the probes: only writes on known ones are timed.
            warm_up(worker, part.call).await?;
            let (back_to_back, seen) = self.see(worker, part.kind, calls(part.call)).await?;
            let after_pause = calls_after_pause(part.call);
            let (_, seen_after_pause) = self.see(worker, part.kind, after_pause).await?;
            let or_nothing = |ns: Option<f64>| ns.unwrap_or(f64::NAN);
            watched.push(Watched {
                back_to_back_ns: back_to_back.mean_ns,
                seen_mean_ns: or_nothing(grouped::trimmed_mean(&seen, trim)),
                seen_median_ns: or_nothing(grouped::quantile(&seen, 0.5)),
                seen_after_pause_ns: or_nothing(grouped::quantile(&seen_after_pause, 0.5)),
            });
        }
        Ok(watched)
    }

    /// Has calls made; returns what they took, and the durations that the probes saw.
    async fn see(
        &self,
        worker: &mut Worker,
        kind: SpanKind,
        order: Order,
    ) -> anyhow::Result<(Answer, Vec<grouped::Group>)> {
        let before = self.probes.durations(0, kind)?.histogram;
        let answer = worker.make(order).await?;
        let mut seen = self.probes.durations(0, kind)?.histogram;
        seen.subtract(&before)?;
        ensure!(
            seen.len() == u64::from(order.calls),
            "of {} calls the probes saw {} as {}",
            order.calls,
            seen.len(),
            kind.name()
        );
        Ok((answer, groups(&seen)))
    }
}

async fn warm_up(worker: &mut Worker, call: Call) -> anyhow::Result<()> {
    let order = Order {
        calls: 2 * CALLS_TIMED_TOGETHER,
        ..calls(call)
    };
    worker.make(order).await.map(|_| ())
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

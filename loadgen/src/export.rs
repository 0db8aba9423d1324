//! What people and tools want, made from the request log: the summary, one HDR log and one CSV an
//! arm. Reads the log once, in a stream.
//!
//! In an open loop all times count from the planned instant. Where it was not kept, each of the files says so.
//!
//! Requests that were sent with the probes attached are counted and otherwise left out: probes slow the
//! hooked arm down and no other, so arms that are compared over both states compare wrongly.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use hdrhistogram::Histogram;
use runlog::interval_log::{self, Interval, NewLog};
use runlog::load_api::NamedUrl;
use runlog::record::{Outcome, Request};
use runlog::summary::{ArmLoad, Latency, Pacer};
use runlog::table::Rows;
use runlog::{Error, Result, RunDirectory, paper_csv};

use crate::client::{BlockPacer, BlockReport};
use crate::pacer::Lateness;

/// The instant at which both clocks were read at the start of a run.
#[derive(Clone, Copy, Debug)]
pub struct Start {
    /// Nanoseconds since 1970.
    pub unix_ns: u64,
    /// Nanoseconds on `CLOCK_MONOTONIC`.
    pub monotonic_ns: u64,
}

impl Start {
    fn to_unix(self, monotonic_ns: u64) -> Duration {
        let since_start = monotonic_ns.saturating_sub(self.monotonic_ns);
        Duration::from_nanos(self.unix_ns + since_start)
    }
}

/// What is known of an arm beside its requests.
#[derive(Clone, Debug, Default)]
pub struct ArmKept {
    /// The pacers of its blocks with the probes detached.
    pacers: Vec<BlockPacer>,
    /// Attempts to connect that failed, by kind.
    failed_connects: BTreeMap<String, u64>,
}

impl ArmKept {
    /// Adds what a block came to.
    pub fn add(&mut self, is_observed: bool, report: BlockReport) {
        if !is_observed {
            self.pacers.extend(report.pacer);
        }
        for (kind, count) in report.failed_connects {
            *self.failed_connects.entry(kind.to_owned()).or_insert(0) += count;
        }
    }

    /// How the plan was kept over all blocks.
    fn lateness(&self) -> Option<Lateness> {
        let mut lateness = self.pacers.iter().map(|pacer| pacer.lateness.clone());
        let mut sum = lateness.next()?;
        lateness.for_each(|other| sum.merge(&other));
        Some(sum)
    }

    /// The pacers as intervals of an HDR log.
    fn intervals(&self, start: Start) -> impl Iterator<Item = Interval> {
        self.pacers.iter().map(move |pacer| Interval {
            start: start.to_unix(pacer.start_ns),
            duration: Duration::from_nanos(pacer.end_ns - pacer.start_ns),
            tag: Some(interval_log::PACER_TAG.to_owned()),
            histogram: pacer.lateness.histogram.clone(),
        })
    }
}

/// Writes the CSV and the HDR log of each arm, and sums it up: requests with the probes detached. `kept` is in the order
/// of the arms.
pub fn export(
    run: &RunDirectory,
    arms: &[NamedUrl],
    kept: &[ArmKept],
    start: Start,
) -> Result<Vec<ArmLoad>> {
    let mut logs = arms
        .iter()
        .map(|arm| NewLog::create(run.interval_log(&arm.name)))
        .collect::<Result<Vec<NewLog>>>()?;
    let mut exports = arms
        .iter()
        .zip(kept)
        .zip(&mut logs)
        .map(|((arm, kept), log)| Export::begin(run, arm, kept, log, start))
        .collect::<Result<Vec<Export<'_>>>>()?;
    for request in Rows::<Request>::open(run.requests())? {
        let request = request?;
        if let Some(export) = exports.get_mut(usize::from(request.arm)) {
            export.add(&request)?;
        }
    }
    let sums = exports.into_iter().map(Export::finish);
    let sums = sums.collect::<Result<Vec<ArmLoad>>>()?;
    logs.into_iter().try_for_each(NewLog::finish)?;
    Ok(sums)
}

/// The files of an arm, as they are written.
struct Export<'e> {
    arm: &'e NamedUrl,
    kept: &'e ArmKept,
    start: Start,
    pacer: Option<Pacer>,
    csv: paper_csv::Writer,
    log: interval_log::Writer<'e>,
    block: Option<OpenBlock>,
    sums: Sums,
}

impl<'e> Export<'e> {
    fn begin(
        run: &RunDirectory,
        arm: &'e NamedUrl,
        kept: &'e ArmKept,
        log: &'e mut NewLog,
        start: Start,
    ) -> Result<Self> {
        let name = &arm.name;
        let pacer = kept.lateness().as_ref().map(pacer_of);
        let mut comment = format!(
            "hookprobe: response times of arm {name} in ns, one interval a block, no warm-up; blocks with \
             probes attached are left out"
        );
        if pacer.is_some() {
            comment.push_str(
                "; times count from the planned instants; tag pacer: lateness of the pacer",
            );
        }
        if let Some(mark) = pacer.as_ref().and_then(Pacer::mark) {
            comment.push_str("; ");
            comment.push_str(&mark);
            // The paper's CSV has no room for remarks.
            let path = run.not_open_loop(name);
            fs::write(&path, format!("{mark}\n")).map_err(|source| Error::Io { path, source })?;
        }
        Ok(Self {
            arm,
            kept,
            start,
            pacer,
            csv: paper_csv::Writer::create(run.paper_csv(name))?,
            log: log.begin(&comment, Duration::from_nanos(start.unix_ns))?,
            block: None,
            sums: Sums::default(),
        })
    }

    fn add(&mut self, request: &Request) -> Result<()> {
        self.sums.add(request);
        if request.is_observed() {
            return Ok(());
        }
        if request.is_ok() {
            self.csv.push(paper_csv::Row {
                start_time_s: self.start.to_unix(request.planned_ns).as_secs_f64(),
                response_time_ms: request.latency_ns() as f64 / 1e6,
            })?;
        }
        if self
            .block
            .as_ref()
            .is_some_and(|block| block.number != request.block)
        {
            self.close_block()?;
        }
        self.block
            .get_or_insert_with(|| OpenBlock::new(request))
            .add(request);
        Ok(())
    }

    fn close_block(&mut self) -> Result<()> {
        match self.block.take() {
            Some(block) => self.log.push(&block.interval(self.start)),
            None => Ok(()),
        }
    }

    fn finish(mut self) -> Result<ArmLoad> {
        self.close_block()?;
        for interval in self.kept.intervals(self.start) {
            self.log.push(&interval)?;
        }
        self.csv.finish()?;
        Ok(self.sums.finish(self.arm, self.pacer, self.kept))
    }
}

fn pacer_of(lateness: &Lateness) -> Pacer {
    let planned = lateness.planned();
    Pacer {
        open_loop: lateness.is_open_loop(),
        limit_ns: lateness.limit_ns,
        planned_requests: planned,
        late_requests: lateness.late,
        queued_requests: lateness.queued,
        unsent_requests: lateness.unsent,
        lateness_ns: latency_of(&lateness.histogram, lateness.total_ns),
    }
}

fn latency_of(histogram: &Histogram<u64>, total_ns: u64) -> Option<Latency> {
    let count = histogram.len();
    (count > 0).then(|| Latency {
        mean: total_ns as f64 / count as f64,
        p50: histogram.value_at_quantile(0.5),
        p90: histogram.value_at_quantile(0.9),
        p99: histogram.value_at_quantile(0.99),
        p999: histogram.value_at_quantile(0.999),
        max: histogram.max(),
    })
}

/// A block of an arm, of which more requests may come.
struct OpenBlock {
    number: u32,
    start_ns: u64,
    end_ns: u64,
    histogram: Histogram<u64>,
}

impl OpenBlock {
    fn new(first: &Request) -> Self {
        Self {
            number: first.block,
            start_ns: first.planned_ns,
            end_ns: first.done_ns,
            histogram: interval_log::new_histogram(),
        }
    }

    fn add(&mut self, request: &Request) {
        self.start_ns = self.start_ns.min(request.planned_ns);
        self.end_ns = self.end_ns.max(request.done_ns);
        if request.is_ok() && !request.is_warmup() {
            self.histogram.saturating_record(request.latency_ns());
        }
    }

    fn interval(self, start: Start) -> Interval {
        Interval {
            start: start.to_unix(self.start_ns),
            duration: Duration::from_nanos(self.end_ns - self.start_ns),
            tag: None,
            histogram: self.histogram,
        }
    }
}

/// A sum and a histogram of the same times.
struct Times {
    histogram: Histogram<u64>,
    total_ns: u64,
}

impl Default for Times {
    fn default() -> Self {
        Self {
            histogram: interval_log::new_histogram(),
            total_ns: 0,
        }
    }
}

impl Times {
    fn add(&mut self, time_ns: u64) {
        self.histogram.saturating_record(time_ns);
        self.total_ns += time_ns;
    }

    fn latency(&self) -> Option<Latency> {
        latency_of(&self.histogram, self.total_ns)
    }
}

/// What the summary says of an arm, added up.
#[derive(Default)]
struct Sums {
    latency: Times,
    from_sent: Times,
    errors_by_kind: BTreeMap<String, u64>,
    requests: u64,
    warmup: u64,
    observed: u64,
    spent: BlockTime,
}

impl Sums {
    fn add(&mut self, request: &Request) {
        if request.is_observed() {
            self.observed += 1;
            return;
        }
        self.spent.add(request);
        if request.is_warmup() {
            self.warmup += 1;
            return;
        }
        self.requests += 1;
        if request.is_ok() {
            self.latency.add(request.latency_ns());
            self.from_sent.add(request.response_time_ns());
        } else {
            let kind = request.outcome_name().to_owned();
            *self.errors_by_kind.entry(kind).or_insert(0) += 1;
        }
    }

    fn finish(self, arm: &NamedUrl, pacer: Option<Pacer>, kept: &ArmKept) -> ArmLoad {
        let successes = self.latency.histogram.len();
        let seconds = self.spent.finish().as_secs_f64();
        ArmLoad {
            name: arm.name.clone(),
            url: arm.url.clone(),
            requests: self.requests,
            warmup_requests: self.warmup,
            observed_requests: self.observed,
            errors: self.requests - successes,
            errors_by_kind: self.errors_by_kind,
            requests_per_second: if seconds > 0.0 {
                successes as f64 / seconds
            } else {
                0.0
            },
            latency_ns: self.latency.latency(),
            latency_from_sent_ns: pacer.as_ref().and_then(|_| self.from_sent.latency()),
            pacer,
            failed_connects: kept.failed_connects.clone(),
        }
    }
}

/// The time that an arm's blocks took outside of their warm-up, from the first request sent to the
/// last that ended.
#[derive(Default)]
struct BlockTime {
    block: Option<(u32, u64, u64)>,
    total_ns: u64,
}

impl BlockTime {
    fn add(&mut self, request: &Request) {
        // A cut may wait for an arm that is gone: that time is not the block's.
        let has_ended = request.was_sent() && request.outcome != Outcome::Unfinished as u8;
        if request.is_warmup() || !has_ended {
            return;
        }
        match &mut self.block {
            // The log is in the order of ending.
            Some((block, start_ns, end_ns)) if *block == request.block => {
                *start_ns = (*start_ns).min(request.sent_ns);
                *end_ns = (*end_ns).max(request.done_ns);
            }
            _ => {
                self.close();
                self.block = Some((request.block, request.sent_ns, request.done_ns));
            }
        }
    }

    fn close(&mut self) {
        if let Some((_, start_ns, end_ns)) = self.block.take() {
            self.total_ns += end_ns - start_ns;
        }
    }

    fn finish(mut self) -> Duration {
        self.close();
        Duration::from_nanos(self.total_ns)
    }
}

#[cfg(test)]
mod tests;

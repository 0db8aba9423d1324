//! What a run shows while it goes on, a second at a time: lines of JSON on stdout for a program
//! (`--live`), or a few lines on a terminal.
//!
//! The requests of an arm are counted where they end; a thread of its own takes the counts away once a
//! second. Where nobody looks, nothing is counted.

use std::io::{self, IsTerminal as _, Write as _};
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use hdrhistogram::Histogram;
use runlog::interval_log::new_histogram;
use runlog::live::{ArmProgress, LiveEvent, Progress, Started};
use runlog::record::Request;

use crate::clock::monotonic_ns;
use crate::live_view::LiveView;

/// Length of an interval.
const INTERVAL: Duration = Duration::from_secs(1);

/// Whom a run tells how it goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Audience {
    /// Nobody.
    None,
    /// Somebody at the terminal that stderr is.
    Terminal,
    /// A program that reads lines of JSON from our stdout.
    Program,
}

impl Audience {
    /// The audience of a run that was asked for lines of JSON or not, and may show something or not.
    pub fn of(json_lines: bool, quiet: bool) -> Self {
        if json_lines {
            Self::Program
        } else if !quiet && io::stderr().is_terminal() {
            Self::Terminal
        } else {
            Self::None
        }
    }
}

/// Says a line of JSON on stdout.
pub fn tell(event: &LiveEvent) -> anyhow::Result<()> {
    let line = serde_json::to_string(event)?;
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{line}")?;
    Ok(stdout.flush()?)
}

/// The counters of a run, and the thread that shows them.
#[derive(Debug)]
pub struct Live {
    arms: Arc<Vec<Mutex<Counts>>>,
    reporter: Option<(Sender<()>, JoinHandle<()>)>,
}

/// What an arm did since the last look.
#[derive(Debug)]
struct Counts {
    requests: u64,
    errors: u64,
    /// Response times of requests that succeeded.
    histogram: Histogram<u64>,
    /// Time in blocks, up to `since_ns`.
    active_ns: u64,
    /// Since when a block has been running that is not in `active_ns` yet.
    since_ns: Option<u64>,
}

impl Live {
    /// Begins to show a run. Should a program that listens go away, `stop` is raised: nobody else knows
    /// of the run.
    pub fn start(
        audience: Audience,
        started: Started,
        stop: &Arc<AtomicBool>,
    ) -> anyhow::Result<Self> {
        if audience == Audience::None {
            return Ok(Self {
                arms: Arc::default(),
                reporter: None,
            });
        }
        let names = started.arms.clone();
        let arms: Arc<Vec<_>> = Arc::new(names.iter().map(|_| Mutex::default()).collect());
        let mut show: Box<dyn FnMut(Progress) + Send> = if audience == Audience::Program {
            tell(&LiveEvent::Started(started))?;
            let stop = Arc::clone(stop);
            Box::new(move |progress| {
                if tell(&LiveEvent::Progress(progress)).is_err() {
                    stop.store(true, Ordering::Relaxed);
                }
            })
        } else {
            let mut view = LiveView::new(&names, started.requests);
            Box::new(move |progress| view.show(&progress))
        };
        let (sender, ended) = mpsc::channel();
        let counts = Arc::clone(&arms);
        // Before the thread runs, a block may have begun.
        let mut intervals = Intervals::starting_now();
        let reporter = thread::Builder::new()
            .name("live".to_owned())
            .spawn(move || {
                while ended.recv_timeout(intervals.left()) == Err(RecvTimeoutError::Timeout) {
                    show(intervals.next(&names, &counts));
                }
                show(intervals.next(&names, &counts));
            })?;
        Ok(Self {
            arms,
            reporter: Some((sender, reporter)),
        })
    }

    /// These arms have their turn, until the value goes away.
    pub fn begin_block(&self, arms: Range<u16>) -> BlockCounter<'_> {
        let counts = self
            .arms
            .get(usize::from(arms.start)..usize::from(arms.end))
            .unwrap_or_default();
        for counts in counts {
            lock(counts).since_ns = Some(monotonic_ns());
        }
        BlockCounter {
            counts,
            first: arms.start,
        }
    }

    /// Shows what the last, incomplete interval had, and ends.
    pub fn finish(&mut self) {
        if let Some((sender, reporter)) = self.reporter.take() {
            drop(sender);
            let _ = reporter.join();
        }
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.finish();
    }
}

/// Counts the requests of one block.
#[derive(Debug)]
pub struct BlockCounter<'l> {
    /// Of its arms; none where nobody looks.
    counts: &'l [Mutex<Counts>],
    /// Number of the first of them.
    first: u16,
}

impl BlockCounter<'_> {
    /// Counts a request that has ended.
    pub fn count(&self, request: &Request) {
        let place = request.arm.checked_sub(self.first);
        let Some(counts) = place.and_then(|place| self.counts.get(usize::from(place))) else {
            return;
        };
        let mut counts = lock(counts);
        counts.requests += 1;
        if request.is_ok() {
            counts.histogram.saturating_record(request.latency_ns());
        } else {
            counts.errors += 1;
        }
    }
}

impl Drop for BlockCounter<'_> {
    fn drop(&mut self) {
        for counts in self.counts {
            let mut counts = lock(counts);
            counts.pause(monotonic_ns());
            counts.since_ns = None;
        }
    }
}

impl Default for Counts {
    fn default() -> Self {
        Self {
            requests: 0,
            errors: 0,
            histogram: new_histogram(),
            active_ns: 0,
            since_ns: None,
        }
    }
}

impl Counts {
    /// Brings `active_ns` up to now.
    fn pause(&mut self, now_ns: u64) {
        if let Some(since_ns) = &mut self.since_ns {
            self.active_ns += now_ns.saturating_sub(*since_ns);
            *since_ns = now_ns;
        }
    }

    /// Takes away what was counted up to now, into new counts.
    fn take_into(&mut self, taken: &mut Self, now_ns: u64) {
        self.pause(now_ns);
        taken.since_ns = self.since_ns;
        std::mem::swap(self, taken);
    }

    fn describe(&self, name: &str) -> ArmProgress {
        let successes = self.requests - self.errors;
        let quantile =
            |quantile| (successes > 0).then(|| self.histogram.value_at_quantile(quantile));
        ArmProgress {
            name: name.to_owned(),
            requests: self.requests,
            errors: self.errors,
            active_ns: self.active_ns,
            requests_per_second: (self.active_ns > 0)
                .then(|| successes as f64 / (self.active_ns as f64 / 1e9)),
            p50_ns: quantile(0.5),
            p90_ns: quantile(0.9),
            p99_ns: quantile(0.99),
        }
    }
}

/// Counters have no state that a panic could leave half changed.
fn lock(counts: &Mutex<Counts>) -> MutexGuard<'_, Counts> {
    counts.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Seconds of the run, which do not drift however late one is looked at. Instants are in nanoseconds.
struct Intervals {
    start: u64,
    last: u64,
    due: u64,
}

impl Intervals {
    fn starting_now() -> Self {
        let start = monotonic_ns();
        Self {
            start,
            last: start,
            due: start + as_ns(INTERVAL),
        }
    }

    /// How long the present one still lasts.
    fn left(&self) -> Duration {
        Duration::from_nanos(self.due.saturating_sub(monotonic_ns()))
    }

    /// Ends the present one.
    fn next(&mut self, names: &[String], arms: &[Mutex<Counts>]) -> Progress {
        // Made before the locks are taken, for which the load waits.
        let mut taken: Vec<Counts> = arms.iter().map(|_| Counts::default()).collect();
        // All at once: what an arm gets after this instant is in no interval that ends here.
        let mut counts: Vec<_> = arms.iter().map(lock).collect();
        let now_ns = monotonic_ns();
        for (counts, taken) in counts.iter_mut().zip(&mut taken) {
            counts.take_into(taken, now_ns);
        }
        drop(counts);
        let interval_ns = now_ns - self.last;
        self.last = now_ns;
        while self.due <= now_ns {
            self.due += as_ns(INTERVAL);
        }
        let arms = names.iter().zip(&taken);
        Progress {
            elapsed_ns: now_ns - self.start,
            interval_ns,
            arms: arms.map(|(name, counts)| counts.describe(name)).collect(),
        }
    }
}

fn as_ns(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;

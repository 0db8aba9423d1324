//! What bracketed processes record of their calls in shared memory, by arm of their trial.
//!
//! Each memory is of one process and the children that share it. One that is made up costs no more than one that is not: there
//! are at most so many, of as many arms, and a look at all of them ends after some milliseconds.

mod run_log;

use std::collections::{BTreeMap, BTreeSet};
use std::mem;
use std::time::{Duration, Instant};

use abi::layout::bucket_of;
use abi::trial::MAX_ARMS;
use abi::trial::calls::Call;
use probes::spans::Total;
use runlog::agent::hook_overhead_of;
use runlog::analysis::{Ledger, LedgerRow};
use runlog::trace::SpanSummary;
use runlog::trial::RecordLedger;

pub use run_log::RunLog;

use crate::run::shared_memory::{Offer, SharedMemory, Unusable, Writers};
use probes::discover::processes::Pid;

/// The most memories that are read.
const MOST_MEMORIES: usize = 64;
/// How often they are read: a ring holds 32,768 records.
pub const TAKE_EVERY: Duration = Duration::from_millis(50);
/// How long that may take, but for the last memory.
const TAKE_FOR: Duration = Duration::from_millis(20);
/// The most of anything that a ledger is told: sums of it do not overflow.
const MOST_COUNTED: u64 = 1 << 48;
/// What these calls are called among the probes of a ledger.
const PROBE: &str = "bracketed_call";

/// The memories that are read, and what was in them.
#[derive(Debug, Default)]
pub struct Memories {
    /// The one that was read last stands last.
    followed: Vec<Followed>,
    /// By place of the series.
    seen: BTreeMap<u32, Seen>,
    /// The calls of a run, while there is one.
    run: Option<RunLog>,
}

/// Tells a memory from others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct MemoryId(u64);

#[derive(Debug)]
struct Followed {
    id: MemoryId,
    memory: SharedMemory,
    series: u32,
    /// Names of the arms, by number.
    arms: Vec<String>,
}

/// What processes of a series have recorded.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// By arm of the trial: what the hook adds to one call, the delay of the arm included.
    pub overhead: BTreeMap<String, Total>,
    /// Calls that never reached back: what the hook added to them is not known.
    unreached: u64,
    /// Records that are no calls of the hook: where requests have any size, those of the server's answers.
    answers: u64,
    /// Of memories that are read no more.
    ended: RecordLedger,
    /// Of all.
    records: RecordLedger,
}

/// Why the memory of a process is not read.
#[derive(Debug, thiserror::Error)]
pub enum NotRead {
    /// It cannot be.
    #[error(transparent)]
    Unusable(#[from] Unusable),
    /// There are others.
    #[error("as many memories of processes are read as there is room for ({MOST_MEMORIES})")]
    Memories,
    /// There are arms of other trials.
    #[error(
        "the processes of this arm have more arms of trials than there is room for ({MAX_ARMS})"
    )]
    Arms,
}

impl Memories {
    /// Reads the memory of a process from now on, if it offers one, and has its calls recorded.
    pub fn take(&mut self, pid: Pid, series: u32) -> Result<Option<MemoryId>, NotRead> {
        let Some(offer) = Offer::of(pid)? else {
            return Ok(None);
        };
        let id = MemoryId(offer.inode);
        if self.followed.iter().any(|followed| followed.id == id) {
            return Ok(Some(id));
        }
        if self.followed.len() >= MOST_MEMORIES {
            return Err(NotRead::Memories);
        }
        let memory = offer.take()?;
        let arms = memory.trial().arms().iter();
        let arms: Vec<String> = arms.map(ToString::to_string).collect();
        self.make_room(series, &arms)?;
        memory.set_recording(true).map_err(Unusable::from)?;
        self.followed.push(Followed {
            id,
            memory,
            series,
            arms,
        });
        Ok(Some(id))
    }

    /// Has a place for each arm of a series. Those that no process has any more go first.
    fn make_room(&mut self, series: u32, arms: &[String]) -> Result<(), NotRead> {
        let seen = self.seen.entry(series).or_default();
        let followed = self.followed.iter().filter(|other| other.series == series);
        let mut kept: BTreeSet<&String> = followed.flat_map(|other| &other.arms).collect();
        kept.extend(arms);
        if kept.len() > MAX_ARMS {
            return Err(NotRead::Arms);
        }
        let new = arms.iter().filter(|arm| !seen.overhead.contains_key(*arm));
        if seen.overhead.len() + new.count() > MAX_ARMS {
            seen.overhead.retain(|arm, _| kept.contains(arm));
        }
        for arm in arms {
            seen.overhead.entry(arm.clone()).or_default();
        }
        Ok(())
    }

    /// Whether there is anything to read.
    pub fn are_read(&self) -> bool {
        !self.followed.is_empty()
    }

    /// Takes what was recorded since it was asked last, for as long as that may take: who is left over comes first the next
    /// time.
    pub fn drain(&mut self) -> anyhow::Result<()> {
        let begun = Instant::now();
        let mut read = 0;
        for followed in &mut self.followed {
            if begun.elapsed() > TAKE_FOR {
                break;
            }
            followed.drain(&mut self.seen, &mut self.run, Writers::Alive)?;
            read += 1;
        }
        self.followed.rotate_left(read);
        Ok(())
    }

    /// Lets go of memories that no process has any more.
    pub fn keep(&mut self, is_used: impl Fn(MemoryId) -> bool) -> anyhow::Result<()> {
        let (kept, ended) = mem::take(&mut self.followed)
            .into_iter()
            .partition(|followed| is_used(followed.id));
        self.followed = kept;
        ended.into_iter().try_for_each(|one| self.let_go(one))
    }

    fn let_go(&mut self, mut followed: Followed) -> anyhow::Result<()> {
        // Another program may have it mapped still. Where it cannot be told, it is its own owner that pays.
        let _ = followed.memory.set_recording(false);
        followed.drain(&mut self.seen, &mut self.run, Writers::Gone)?;
        if let Some(run) = &mut self.run
            && run.is_of(followed.series, &followed.memory)
        {
            run.end(followed.id, &followed.memory)?;
        }
        let seen = self.seen.entry(followed.series).or_default();
        add(&mut seen.ended, &followed.memory.ledger()?);
        Ok(())
    }

    /// Writes the calls of these series down from now on, where they are drawn as the run draws. Says how many memories have
    /// such.
    pub fn begin_run(&mut self, run: RunLog, series: BTreeSet<u32>) -> anyhow::Result<usize> {
        // What was recorded before is of no run.
        self.drain_all()?;
        let run = self.run.insert(run);
        run.series = series;
        let of_run = |one: &&Followed| run.is_of(one.series, &one.memory);
        let memories: Vec<&Followed> = self.followed.iter().filter(of_run).collect();
        for followed in &memories {
            run.begin(followed.id, &followed.memory)?;
        }
        Ok(memories.len())
    }

    /// Takes a series in that has come since.
    pub fn extend_run(&mut self, series: u32) {
        if let Some(run) = &mut self.run {
            run.series.insert(series);
        }
    }

    /// Ends what [`Memories::begin_run`] has begun.
    pub fn end_run(&mut self) -> anyhow::Result<()> {
        let drained = self.drain_all();
        let Some(mut run) = self.run.take() else {
            return Ok(());
        };
        for followed in &self.followed {
            if run.is_of(followed.series, &followed.memory) {
                run.end(followed.id, &followed.memory)?;
            }
        }
        run.finish()?;
        drained
    }

    fn drain_all(&mut self) -> anyhow::Result<()> {
        let Self {
            followed,
            seen,
            run,
        } = self;
        let mut followed = followed.iter_mut();
        followed.try_for_each(|one| one.drain(seen, run, Writers::Alive))
    }

    /// Forgets what a series had, whose place another takes.
    pub fn clear(&mut self, series: u32) {
        self.seen.remove(&series);
    }

    /// What the processes of a series have recorded.
    pub fn seen(&self, series: u32) -> anyhow::Result<Seen> {
        let mut seen = self.seen.get(&series).cloned().unwrap_or_default();
        seen.records = seen.ended;
        for followed in self.followed.iter().filter(|one| one.series == series) {
            add(&mut seen.records, &followed.memory.ledger()?);
        }
        Ok(seen)
    }
}

impl Followed {
    fn drain(
        &mut self,
        seen: &mut BTreeMap<u32, Seen>,
        run: &mut Option<RunLog>,
        writers: Writers,
    ) -> anyhow::Result<()> {
        let seen = seen.entry(self.series).or_default();
        let arms = &self.arms;
        let run = run.as_mut();
        let mut run = run.filter(|run| run.is_of(self.series, &self.memory));
        self.memory.drain(writers, |call| {
            if call.function == Call::ANSWER {
                seen.answers += 1;
                return Ok(());
            }
            // The reader has looked whether there is such an arm.
            if let Some(arm) = arms.get(usize::from(call.arm)) {
                seen.add(arm, &call);
                if let Some(run) = &mut run {
                    run.push(&call);
                }
            }
            Ok(())
        })
    }
}

impl Seen {
    fn add(&mut self, arm: &str, call: &Call) {
        if call.flags & Call::REACHED_BACK == 0 {
            self.unreached += 1;
            return;
        }
        let parts = [call.to_back_ns, call.from_back_ns, call.waited_ns];
        let took_ns: u64 = parts.into_iter().map(u64::from).sum();
        if let Some(total) = self.overhead.get_mut(arm) {
            total.add_one(bucket_of(took_ns), took_ns);
        }
    }

    /// Spans by kind, as summaries.
    pub fn summaries(&self) -> impl Iterator<Item = (String, SpanSummary)> {
        let seen = self.overhead.iter().filter(|(_, total)| total.count() > 0);
        seen.map(|(arm, total)| {
            let durations = total.durations();
            let summary = SpanSummary::of(&durations.histogram, durations.sum_ns);
            (hook_overhead_of(arm), summary)
        })
    }

    /// Enters into the ledger of the series where the calls went.
    pub fn enter(&self, ledger: &mut Ledger) {
        let RecordLedger {
            begun,
            read,
            overwritten,
            torn,
            unrecordable,
        } = self.records;
        // Whoever owns a memory can have any number counted there.
        let [begun, read, overwritten, torn, unrecordable] =
            [begun, read, overwritten, torn, unrecordable].map(|count| count.min(MOST_COUNTED));
        let [begun, read] = [begun, read].map(|count| count.saturating_sub(self.answers));
        let recorded = read.saturating_sub(self.unreached);
        let dropped = overwritten + unrecordable;
        let unpaired = torn + self.unreached;
        let done = read + overwritten + torn;
        let row = LedgerRow {
            hits: begun + unrecordable,
            recorded,
            dropped,
            unpaired,
            in_flight: begun.saturating_sub(done),
            ..LedgerRow::default()
        };
        if row.hits == 0 {
            return;
        }
        ledger.hits += row.hits;
        ledger.recorded += row.recorded;
        ledger.dropped += row.dropped;
        ledger.unpaired += row.unpaired;
        ledger.in_flight += row.in_flight;
        ledger.balanced &= row.is_balanced();
        ledger.probes.insert(PROBE.to_owned(), row);
        let causes = [
            ("record_overwritten", overwritten),
            ("record_torn", torn),
            ("call_too_long_for_a_record", unrecordable),
            ("call_never_reached_back", self.unreached),
        ];
        let causes = causes.into_iter().filter(|(_, count)| *count > 0);
        ledger
            .causes
            .extend(causes.map(|(cause, count)| (cause.to_owned(), count)));
    }
}

fn add(sum: &mut RecordLedger, part: &RecordLedger) {
    let add = |sum: &mut u64, part: u64| *sum = sum.saturating_add(part);
    add(&mut sum.begun, part.begun);
    add(&mut sum.read, part.read);
    add(&mut sum.overwritten, part.overwritten);
    add(&mut sum.torn, part.torn);
    add(&mut sum.unrecordable, part.unrecordable);
}

#[cfg(test)]
mod tests;

//! The ledger's counters, one set for each arm and CPU, and one for each lane. Every probe hit raises one hit counter and, sooner
//! or later, one outcome counter of the same probe; what is in between is in flight, and is found
//! in the table of threads when the probes are detached.

use zerocopy::{FromBytes, IntoBytes};

/// A counter. The number is its place in [`Counters`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Counter {
    /// `read(2)`: entered, or left without having been seen entering.
    ReadHits,
    /// `read(2)`: entry and exit seen, and in the ring if asked for.
    ReadRecorded,
    /// `read(2)`: exit without entry.
    ReadExitAlone,
    /// `read(2)`: of the exits without entry, those of threads that were followed by then, so that the entry should
    /// have been seen. The first of a thread may have been entered before the probes were attached. Not an outcome.
    ReadEntryUnseen,
    /// `read(2)`: entry without exit; the same thread entered again.
    ReadEntryAlone,
    /// `read(2)`: entry without exit; the thread ended.
    ReadThreadEnded,
    /// `read(2)`: not followed, as the table of threads was full. Not an outcome: the call's exit is
    /// counted as one without entry.
    ReadTableFull,
    /// `read(2)`: in the histograms, but the ring buffer was full.
    ReadRingFull,

    /// `read_done` site: fired.
    SiteHits,
    /// `read_done` site: paired with its syscall, in the histograms, and in the ring if asked for.
    SiteRecorded,
    /// `read_done` site: in the histograms, but the ring buffer was full.
    SiteRingFull,
    /// `read_done` site: no syscall span of this thread fits the call.
    SiteUnpaired,
    /// `read_done` site: of the unpaired, those in whose calls a followed thread was not seen entering `read(2)` at
    /// all. Not an outcome.
    SiteWithoutSyscall,
    /// `read_done` site: of the unpaired, those in whose calls the thread made another system call after the hook's:
    /// in a signal handler, say. Not an outcome.
    SiteInterrupted,
    /// Of the sites: the connection was not known; offsets start as unknown. Not an outcome.
    SiteConnectionUnknown,
    /// Of the sites: the table of connections was full. Not an outcome.
    SiteTableFull,

    /// Write family on a tracked connection: entered.
    WriteHits,
    /// Write family: entry and exit seen, and in the ring if asked for.
    WriteRecorded,
    /// Write family: in the histograms, but the ring buffer was full.
    WriteRingFull,
    /// Write family: entry without exit; the same thread entered again.
    WriteEntryAlone,
    /// Write family: entry without exit; the thread ended.
    WriteThreadEnded,
    /// Write family: the table of threads was full.
    WriteTableFull,

    /// `accepted` site: fired.
    AcceptedHits,
    /// `accepted` site: connection noted, and in the ring if asked for.
    AcceptedRecorded,
    /// `accepted` site: the ring buffer was full.
    AcceptedRingFull,
    /// `accepted` site: the table of connections was full. Its reads are of unknown offset.
    AcceptedTableFull,

    /// `closed` site: fired.
    ClosedHits,
    /// `closed` site: connection forgotten, and in the ring if asked for.
    ClosedRecorded,
    /// `closed` site: the ring buffer was full.
    ClosedRingFull,

    /// Function named by `--symbol` or `--offset`: entered, or left without having been seen entering.
    FunctionHits,
    /// Function: entry and return seen, and in the ring if asked for.
    FunctionRecorded,
    /// Function: in the histograms, but the ring buffer was full.
    FunctionRingFull,
    /// Function: return without entry; it was entered before the probes were attached.
    FunctionReturnAlone,
    /// Function: entry without return; the thread went on further up its stack. It was left by
    /// `longjmp`, or by the jumps of a runtime.
    FunctionLeft,
    /// Function: entry without return; the thread ended inside, or its process executed another
    /// program.
    FunctionThreadEnded,
    /// Function: entered, but the kernel waits for as many returns as it can in this thread, and
    /// will not show this one.
    FunctionTooDeep,
    /// Function: not followed, as the table of threads was full. Not an outcome: the call's return
    /// is counted as one without entry.
    FunctionTableFull,

    /// Records written to the ring buffer. One that is of a hooked read and of its `read(2)` counts as two.
    RecordsWritten,
}

impl Counter {
    /// How many there are.
    pub const COUNT: usize = Self::RecordsWritten as usize + 1;
}

/// One set of counters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes)]
#[repr(C)]
pub struct Counters {
    values: [u64; Counter::COUNT],
}

impl Default for Counters {
    fn default() -> Self {
        Self::new()
    }
}

impl Counters {
    /// All zero.
    pub const fn new() -> Self {
        Self {
            values: [0; Counter::COUNT],
        }
    }

    /// The value of a counter.
    pub fn get(&self, counter: Counter) -> u64 {
        self.values[counter as usize]
    }

    /// The cell of a counter, to be raised atomically.
    #[inline(always)]
    #[allow(clippy::inline_always, reason = "eBPF programs are one function each")]
    pub fn cell(&mut self, counter: Counter) -> &mut u64 {
        &mut self.values[counter as usize]
    }

    /// Takes what an earlier reading had off.
    pub fn take_off(&mut self, earlier: &Self) {
        for (value, earlier) in self.values.iter_mut().zip(earlier.values) {
            *value = value.saturating_sub(earlier);
        }
    }

    /// Adds another set.
    pub fn add(&mut self, other: &Self) {
        for (value, other) in self.values.iter_mut().zip(other.values) {
            *value += other;
        }
    }
}

//! The maps, and safe access to them.
#![allow(
    unsafe_code,
    reason = "map values are reached through raw pointers that the kernel's verifier checks"
)]

use core::arch::asm;

use abi::lane::{
    BATCH_WORDS, GATHERED, Gathered, NOT_WANTED, WRITTEN_AT_ONCE, WRITTEN_WHILE_ASKED_FOR,
};
use abi::layout::Spans;
use abi::{Counter, Counters, Lane, MAX_ARMS, OpenCalls, Plain, SpanKind};
use aya_ebpf::macros::map;
use aya_ebpf::maps::{Array, HashMap, PerCpuArray, RingBuf};

use crate::cells::{self, add, setting};
use crate::slots::{Slots, peek};
use crate::tally::Tally;
use crate::targets::{Current, is_observing};

/// Open calls of the function that is timed, by thread. The loader sets the number of entries: each
/// takes a kilobyte from the start, as old kernels warn of entries that a probe allocates.
#[map]
static OPEN_CALLS: HashMap<u32, OpenCalls> = HashMap::with_max_entries(1, 0);

/// One entry of zeros, to begin a thread's [`OPEN_CALLS`] with: it is larger than a program's stack.
#[map]
static NO_CALLS: Array<OpenCalls> = Array::with_max_entries(1, 0);

/// One histogram per CPU for each arm and kind. The loader sets the number of entries.
#[map]
static HISTOGRAMS: PerCpuArray<Spans> = PerCpuArray::with_max_entries(SpanKind::COUNT, 0);

/// The ledger, one set of counters an arm. The loader sets the number of entries.
#[map]
static COUNTERS: PerCpuArray<Counters> = PerCpuArray::with_max_entries(1, 0);

/// Hits of the hook's sites, and entries into the function, by processes that are not traced: a probe
/// fires for every process that has mapped the file.
#[map]
static HITS_OF_OTHERS: PerCpuArray<u64> = PerCpuArray::with_max_entries(1, 0);

/// Records, where they are asked for. The loader sets the size.
#[map]
static RECORDS: RingBuf = RingBuf::with_byte_size(1 << 16, 0);

/// What becomes of records: one of [`abi::lane`]'s constants. Set by the loader.
#[unsafe(no_mangle)]
static RECORDS_ARE: u8 = NOT_WANTED;

/// Of which arms records are asked for at the moment, where that changes. Only the agent writes to it.
#[unsafe(no_mangle)]
#[unsafe(link_section = ".bss.asked_for")]
static ASKED_FOR: Slots<u32, { MAX_ARMS as usize }> = Slots::new();

/// Whether records of every `read(2)` are asked for too, and not only of hooked ones. Set by the
/// loader.
#[unsafe(no_mangle)]
static WANT_READ_RECORDS: u8 = 0;

/// Unread bytes at which the reader is woken. Set by the loader, as is the next.
#[unsafe(no_mangle)]
static WAKE_AT_BYTES: u64 = u64::MAX;

/// Spans in the records of an arm and CPU, or of a lane, from one look at the unread bytes to the next, less one: a mask. Looking
/// at each record would have all CPUs and the reader pass one cache line around.
#[unsafe(no_mangle)]
static LOOK_MASK: u64 = 31;

/// Whether the kernel pair on `read(2)` is attached, so that each site must find its span.
#[unsafe(no_mangle)]
static HAVE_KERNEL_PAIR: u8 = 0;

// Of include/uapi/linux/bpf.h.
pub const BPF_NOEXIST: u64 = 1;
const BPF_RB_NO_WAKEUP: u64 = 1;
const BPF_RB_FORCE_WAKEUP: u64 = 2;
const BPF_RB_AVAIL_DATA: u64 = 0;

/// The open calls of a thread; `None` when it has not called the function yet.
#[inline(always)]
pub fn open_calls(tid: u32) -> Option<&'static mut OpenCalls> {
    let calls = OPEN_CALLS.get_ptr_mut(tid)?;
    // SAFETY: only the thread itself writes its entry while the probes are attached, and its entry
    // is removed only when it ends.
    Some(unsafe { &mut *calls })
}

/// Starts to follow the calls of a thread. `None` when the table is full.
#[inline(always)]
pub fn follow_calls(current: Current, arm: u32) -> Option<&'static mut OpenCalls> {
    OPEN_CALLS.insert(current.tid(), NO_CALLS.get(0)?, 0).ok()?;
    let calls = open_calls(current.tid())?;
    calls.reset(current.tgid(), arm);
    Some(calls)
}

/// Stops following the calls of a thread.
#[inline(always)]
pub fn forget_calls(tid: u32) {
    let _ = OPEN_CALLS.remove(tid);
}

/// Raises a counter of an arm by so much. Returns what it was on this CPU.
#[inline(always)]
pub fn raise(arm: u32, counter: Counter, amount: u64) -> u64 {
    let Some(counters) = COUNTERS.get_ptr_mut(arm) else {
        return 0;
    };
    // SAFETY: the verifier has seen the null check; other writers use atomic instructions too.
    let cell = unsafe { (*counters).cell(counter) };
    let before = *cell;
    add(cell, amount);
    before
}

/// Raises a counter of an arm by one.
#[inline(always)]
pub fn count(arm: u32, counter: Counter) {
    raise(arm, counter, 1);
}

/// Raises a counter of an arm, if there is something to add.
#[inline(always)]
pub fn count_many(arm: u32, counter: Counter, amount: u64) {
    if amount > 0 {
        raise(arm, counter, amount);
    }
}

/// Counts a hit by a process that is not traced.
#[inline(always)]
pub fn count_hit_of_other() {
    if is_observing()
        && let Some(hits) = HITS_OF_OTHERS.get_ptr_mut(0)
    {
        // SAFETY: as in `raise`.
        add(unsafe { &mut *hits }, 1);
    }
}

/// Adds a span to the histogram and the sum of its arm and kind.
#[inline(always)]
pub fn add_span(arm: u32, kind: SpanKind, span_ns: u64) {
    if let Some(spans) = HISTOGRAMS.get_ptr_mut(kind.index(arm)) {
        // SAFETY: as in `raise`.
        cells::add_span(unsafe { &mut *spans }, span_ns);
    }
}

/// What became of a record.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Recorded {
    /// In the ring buffer, or not asked for.
    Yes,
    /// The ring buffer was full.
    RingFull,
}

/// Writes a record if records are asked for; `spans` says of how many spans it is, by kind. `None` where the
/// thread gathers records: what becomes of them is counted when they are written.
///
/// `fill` sets every field of the record in its place: on the way there it would take a stack that is twice as
/// large, and twice as many instructions.
#[inline(always)]
pub fn gather<T: Plain>(
    tally: &mut Tally,
    spans: [u64; Gathered::COUNT],
    fill: impl Fn(&mut T),
) -> Option<Recorded> {
    match records_are(tally) {
        NOT_WANTED => Some(Recorded::Yes),
        GATHERED if let Some(lane) = tally.lane() => {
            add_to_batch(lane, spans, fill);
            None
        }
        _ => Some(write(tally, spans.iter().sum(), fill)),
    }
}

#[inline(always)]
fn add_to_batch<T: Plain>(lane: &mut Lane, spans: [u64; Gathered::COUNT], fill: impl Fn(&mut T)) {
    const {
        assert!(size_of::<T>().is_multiple_of(8) && align_of::<T>() <= 8);
    }
    let words = size_of::<T>() / 8;
    if lane.batch.used as usize > BATCH_WORDS - words {
        write_batch(lane);
    }
    let used = lane.batch.used as usize;
    if used <= BATCH_WORDS - words {
        let to = lane.batch.words.as_mut_ptr().wrapping_add(used);
        // SAFETY: there is room for the record, words are aligned as it is, and any bytes are a record.
        fill(unsafe { &mut *to.cast() });
        lane.batch.used = (used + words) as u64;
        for (sum, count) in lane.batch.spans.iter_mut().zip(spans) {
            *sum += count;
        }
    }
}

#[inline(always)]
fn write_batch(lane: &mut Lane) {
    // Looking at what is unread is nothing beside writing so much.
    let flags = wake_up();
    let gathered = lane.batch.words.get(..lane.batch.used as usize);
    let is_written = gathered.is_some_and(|words| RECORDS.output::<[u64]>(words, flags).is_ok());
    lane.settle_batch(is_written);
}

/// Writes a record of one span if records are asked for.
#[inline(always)]
pub fn record<T: Plain>(tally: &mut Tally, record: T) -> Recorded {
    if records_are(tally) == NOT_WANTED {
        return Recorded::Yes;
    }
    write(tally, 1, |to| *to = record)
}

/// What records of the arm are at the moment: never [`WRITTEN_WHILE_ASKED_FOR`].
#[inline(always)]
fn records_are(tally: &Tally) -> u8 {
    let mut are = u64::from(setting(&RECORDS_ARE));
    if are == u64::from(WRITTEN_WHILE_ASKED_FOR) {
        // SAFETY: the address is in the table.
        let is_asked_for = unsafe { peek(ASKED_FOR.slot(tally.arm())) != 0 };
        are = u64::from(if is_asked_for {
            WRITTEN_AT_ONCE
        } else {
            NOT_WANTED
        });
    }
    // Else the compiler knows here where the number is from, and weaves the two ways into what comes behind. The
    // verifiers of 5.10 and 6.1 then lose sight of the ring buffer's memory ("Unreleased reference").
    // It takes an instruction: the kernel refuses two lines of the source at one.
    // SAFETY: the instruction copies a register to itself.
    unsafe {
        asm!("{are} = {are}", are = inout(reg) are, options(nomem, nostack, preserves_flags));
    };
    are as u8
}

#[inline(always)]
fn write<T: Plain>(tally: &mut Tally, spans: u64, fill: impl Fn(&mut T)) -> Recorded {
    match RECORDS.reserve::<T>(0) {
        Some(mut entry) => {
            // SAFETY: it is memory of the ring buffer's, and any bytes are a record.
            fill(unsafe { entry.assume_init_mut() });
            let written = tally.add(Counter::RecordsWritten, spans);
            entry.submit(wake_up_after(written, spans));
            Recorded::Yes
        }
        None => Recorded::RingFull,
    }
}

/// Whether a record of so many spans, behind those of `written` others, wakes the reader. A wake-up costs more than a record, so there is
/// one only when enough is unread, which is looked at now and then. What stays below that, the reader finds
/// by its own clock.
#[inline(always)]
fn wake_up_after(written: u64, spans: u64) -> u64 {
    if written & setting(&LOOK_MASK) < spans {
        wake_up()
    } else {
        BPF_RB_NO_WAKEUP
    }
}

/// Whether to wake the reader now.
#[inline(always)]
fn wake_up() -> u64 {
    if RECORDS.query(BPF_RB_AVAIL_DATA) >= setting(&WAKE_AT_BYTES) {
        BPF_RB_FORCE_WAKEUP
    } else {
        BPF_RB_NO_WAKEUP
    }
}

/// Whether records of every `read(2)` are asked for.
#[inline(always)]
pub fn want_read_records() -> bool {
    setting(&WANT_READ_RECORDS) != 0
}

/// Whether the kernel pair on `read(2)` is attached.
#[inline(always)]
pub fn have_kernel_pair() -> bool {
    setting(&HAVE_KERNEL_PAIR) != 0
}

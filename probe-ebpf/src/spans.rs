//! Pairing of syscall entry and exit, per thread, whichever probe brackets the syscall.

use abi::lane::Gathered;
use abi::threads::{IDLE, IN_READ, IN_WRITE, READ_DONE};
use abi::{ConnectionKey, Counter, EVENT_WRITE, SpanKind, Thread, Write};
use aya_ebpf::EbpfContext;
use aya_log_ebpf::warn;

use crate::clock::now_ns;
use crate::connections::connection;
use crate::maps::{Recorded, count, gather, want_read_records};
use crate::tally::Tally;
use crate::targets::{Current, current, is_observing, observed, target};
use crate::threads::{follow, follow_anew, forget, of_number, thread};

/// The counters of a syscall.
struct Syscall {
    state: u32,
    hits: Counter,
    table_full: Counter,
}

const READ: Syscall = Syscall {
    state: IN_READ,
    hits: Counter::ReadHits,
    table_full: Counter::ReadTableFull,
};

const WRITE: Syscall = Syscall {
    state: IN_WRITE,
    hits: Counter::WriteHits,
    table_full: Counter::WriteTableFull,
};

/// A thread enters `read(2)`.
#[inline(always)]
pub fn read_enter(fd: i32) {
    let current = current();
    if let Some(target) = observed(current.tgid())
        && let Some(thread) = enter(&READ, current, || target.arm())
    {
        thread.fd = fd;
        // Last of all, so that the span is the syscall's.
        thread.enter_ns = now_ns();
    }
}

/// A thread enters a syscall of the write family.
#[inline(always)]
pub fn write_enter(fd: i32) {
    let current = current();
    let Some(target) = observed(current.tgid()) else {
        return;
    };
    let key = ConnectionKey {
        tgid: current.tgid(),
        fd,
    };
    if let Some(connection) = connection(key)
        && let Some(thread) = enter(&WRITE, current, || target.arm())
    {
        thread.connection = connection.identity();
        thread.enter_ns = now_ns();
    }
}

/// Counts the entry, and notes what the thread is doing now. `None` where it cannot be followed.
#[inline(always)]
fn enter(
    syscall: &Syscall,
    current: Current,
    arm: impl Fn() -> u32,
) -> Option<&'static mut Thread> {
    let Some(thread) = idle(current, &arm) else {
        count(arm(), syscall.table_full);
        if syscall.state == IN_WRITE {
            count(arm(), syscall.hits);
        } // the exit of a read will be counted, as one without entry
        return None;
    };
    Tally::of(thread).count(syscall.hits);
    thread.state = syscall.state;
    Some(thread)
}

/// The thread that runs, with nothing open. `None` when the table is full.
#[inline(always)]
fn idle(current: Current, arm: impl Fn() -> u32) -> Option<&'static mut Thread> {
    // A process that executes another program may come into another arm.
    let Some(thread) = thread(current).filter(|thread| thread.arm == arm()) else {
        return begin(current, arm());
    };
    if thread.state != IDLE {
        end_what_was_open(thread);
    }
    Some(thread)
}

/// Begins to follow the thread that runs. `None` when the table is full.
#[inline(always)]
fn begin(current: Current, arm: u32) -> Option<&'static mut Thread> {
    let Some(thread) = of_number(current.tid()) else {
        return follow(current, arm);
    };
    end_what_was_open(thread);
    follow_anew(thread, current, arm);
    Some(thread)
}

/// Begins to follow a thread in the middle of a call that it may have begun before it was observed. All that it begins
/// from now on is seen.
#[inline(always)]
pub fn follow_from_now(current: Current, arm: u32) {
    if let Some(thread) = begin(current, arm) {
        thread.enter_ns = now_ns();
    }
}

/// A thread does something else, or ends: of what it was doing, no more will be seen.
#[inline(always)]
fn end_what_was_open(thread: &mut Thread) {
    let mut tally = Tally::of(thread);
    match thread.state {
        // The exit was not seen.
        IN_READ => _ = tally.count(Counter::ReadEntryAlone),
        IN_WRITE => _ = tally.count(Counter::WriteEntryAlone),
        READ_DONE => settle_read(&mut tally, thread),
        _ => {}
    }
    thread.state = IDLE;
}

/// A thread leaves `read(2)`. Whether a hook had called it, only the hook's site will tell.
#[inline(always)]
pub fn read_exit(returned: i64) {
    let current = current();
    // First of all for a traced process, and not at all for others: their system calls come here too.
    let Some(target) = target(current.tgid()) else {
        return;
    };
    let now_ns = now_ns();
    match thread(current) {
        Some(thread) if thread.state == IN_READ => {
            thread.state = READ_DONE;
            thread.exit_ns = now_ns;
            thread.returned = returned;
            if !target.has_hook() {
                end_what_was_open(thread);
            }
        }
        followed => {
            if is_observing() {
                let arm = target.arm();
                count(arm, Counter::ReadHits);
                count(arm, Counter::ReadExitAlone);
                if followed.is_some_and(|thread| thread.arm == arm) {
                    count(arm, Counter::ReadEntryUnseen);
                } else {
                    follow_from_now(current, arm);
                }
            }
        }
    }
}

/// Adds a `read(2)` that has returned to those that no hook made.
#[inline(always)]
pub fn settle_read(tally: &mut Tally, read: &Thread) {
    tally.add_span(SpanKind::ReadSyscall, read.exit_ns - read.enter_ns);
    record_read(tally, read);
}

/// Counts a `read(2)` that has returned, and writes a record of it if such are asked for.
#[inline(always)]
pub fn record_read(tally: &mut Tally, read: &Thread) {
    let recorded = if want_read_records() {
        gather(tally, Gathered::Reads.alone(), |record| {
            *record = read.read_syscall();
        })
    } else {
        Some(Recorded::Yes)
    };
    match recorded {
        Some(Recorded::Yes) => _ = tally.count(Counter::ReadRecorded),
        Some(Recorded::RingFull) => _ = tally.count(Counter::ReadRingFull),
        None => {}
    }
}

/// A thread leaves a syscall of the write family. Exits that belong to no timed entry are those of
/// writes elsewhere than to tracked connections.
#[inline(always)]
pub fn write_exit<C: EbpfContext>(ctx: &C, returned: i64) {
    let current = current();
    if target(current.tgid()).is_none() {
        return;
    }
    let now_ns = now_ns();
    let Some(thread) = thread(current) else {
        return;
    };
    if thread.state != IN_WRITE {
        return;
    }
    thread.state = IDLE;
    let mut tally = Tally::of(thread);
    tally.add_span(SpanKind::WriteSyscall, now_ns - thread.enter_ns);
    let recorded = gather(&mut tally, Gathered::Writes.alone(), |record| {
        *record = Write {
            kind: EVENT_WRITE,
            arm: thread.arm,
            tgid: current.tgid(),
            tid: current.tid(),
            connection: thread.connection,
            returned,
            enter_ns: thread.enter_ns,
            exit_ns: now_ns,
        };
    });
    let outcome = match recorded {
        Some(Recorded::Yes) => Counter::WriteRecorded,
        Some(Recorded::RingFull) => Counter::WriteRingFull,
        None => return,
    };
    if tally.count(outcome) == 0 && outcome == Counter::WriteRingFull {
        warn!(
            ctx,
            "ring buffer full: records of writes of arm {} are being dropped", thread.arm
        );
    }
}

/// A thread ends: its number may be given to another. When nothing is observed any more, exits may have gone unseen, and
/// what was open is the agent's to count.
#[inline(always)]
pub fn thread_end() {
    if !is_observing() {
        return;
    }
    let Some(thread) = of_number(current().tid()) else {
        return;
    };
    let mut tally = Tally::of(thread);
    match thread.state {
        IN_READ => _ = tally.count(Counter::ReadThreadEnded),
        IN_WRITE => _ = tally.count(Counter::WriteThreadEnded),
        READ_DONE => settle_read(&mut tally, thread),
        _ => {}
    }
    forget(thread);
}

//! Pairing of syscall entry and exit, per thread, whichever probe brackets the syscall.

use aya_ebpf::EbpfContext;
use aya_log_ebpf::warn;
use probe_common::lane::Gathered;
use probe_common::threads::{IDLE, IN_READ, IN_WRITE, READ_DONE};
use probe_common::{
    ConnectionKey, Counter, EVENT_READ_SYSCALL, EVENT_WRITE, ReadSyscall, SpanKind, Thread, Write,
};

use crate::clock::now_ns;
use crate::connections::connection;
use crate::maps::{Recorded, count, gather, want_read_records};
use crate::tally::Tally;
use crate::targets::{Current, arm_of, current, is_observing, target};
use crate::threads::{follow, follow_anew, forget, thread};

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
    if let Some(arm) = arm_of(current.tgid) {
        enter(&READ, current, arm, fd, 0);
    }
}

/// A thread enters a syscall of the write family.
#[inline(always)]
pub fn write_enter(fd: i32) {
    let current = current();
    let Some(arm) = arm_of(current.tgid) else {
        return;
    };
    let key = ConnectionKey {
        tgid: current.tgid,
        fd,
    };
    if let Some(connection) = connection(key) {
        enter(&WRITE, current, arm, fd, connection.identity);
    }
}

#[inline(always)]
fn enter(syscall: &Syscall, current: Current, arm: u32, fd: i32, connection: u64) {
    let followed = thread(current.tid);
    if let Some(thread) = &followed
        && thread.is_busy()
    {
        // The exit was not seen: the thread entered again.
        let entry_alone = if thread.state == IN_READ {
            Counter::ReadEntryAlone
        } else {
            Counter::WriteEntryAlone
        };
        Tally::of(thread.arm, thread).count(entry_alone);
    }
    let Some(thread) = followed.or_else(|| follow(current, arm)) else {
        count(arm, syscall.table_full);
        if syscall.state == IN_WRITE {
            count(arm, syscall.hits);
        } // the exit of a read will be counted, as one without entry
        return;
    };
    if thread.tgid != current.tgid {
        follow_anew(thread, current, arm);
    }
    Tally::of(arm, thread).count(syscall.hits);
    thread.state = syscall.state;
    thread.fd = fd;
    thread.connection = connection;
    // Last of all, so that the span is the syscall's.
    thread.enter_ns = now_ns();
}

/// A thread leaves `read(2)`.
#[inline(always)]
pub fn read_exit(returned: i64) {
    let current = current();
    // First of all for a traced process, and not at all for others: their system calls come here too.
    let Some(arm) = target(current.tgid) else {
        return;
    };
    let now_ns = now_ns();
    match thread(current.tid) {
        Some(thread) if thread.state == IN_READ && thread.tgid == current.tgid => {
            thread.state = READ_DONE;
            thread.exit_ns = now_ns;
            thread.returned = returned;
            let mut tally = Tally::of(arm, thread);
            tally.add_span(SpanKind::ReadSyscall, now_ns - thread.enter_ns);
            let outcome = match record_read(&mut tally, current, thread) {
                Some(Recorded::Yes) => Counter::ReadRecorded,
                Some(Recorded::RingFull) => Counter::ReadRingFull,
                None => return,
            };
            tally.count(outcome);
        }
        _ => {
            if is_observing() {
                count(arm, Counter::ReadHits);
                count(arm, Counter::ReadExitAlone);
            }
        }
    }
}

/// Writes a record of a `read(2)` that has ended, if such are asked for.
#[inline(always)]
fn record_read(tally: &mut Tally, current: Current, read: &Thread) -> Option<Recorded> {
    if !want_read_records() {
        return Some(Recorded::Yes);
    }
    let record_of_read = ReadSyscall {
        kind: EVENT_READ_SYSCALL,
        arm: read.arm,
        tgid: current.tgid,
        tid: current.tid,
        returned: read.returned,
        enter_ns: read.enter_ns,
        exit_ns: read.exit_ns,
        fd: read.fd,
        reserved: 0,
    };
    gather(tally, Gathered::Reads, record_of_read)
}

/// A thread leaves a syscall of the write family. Exits that belong to no timed entry are those of
/// writes elsewhere than to tracked connections.
#[inline(always)]
pub fn write_exit<C: EbpfContext>(ctx: &C, returned: i64) {
    let current = current();
    let Some(arm) = target(current.tgid) else {
        return;
    };
    let now_ns = now_ns();
    let Some(thread) = thread(current.tid) else {
        return;
    };
    if thread.state != IN_WRITE || thread.tgid != current.tgid {
        return;
    }
    thread.state = IDLE;
    let enter_ns = thread.enter_ns;
    let write = Write {
        kind: EVENT_WRITE,
        arm,
        tgid: current.tgid,
        tid: current.tid,
        connection: thread.connection,
        returned,
        enter_ns,
        exit_ns: now_ns,
    };
    let mut tally = Tally::of(arm, thread);
    tally.add_span(SpanKind::WriteSyscall, now_ns - enter_ns);
    let outcome = match gather(&mut tally, Gathered::Writes, write) {
        Some(Recorded::Yes) => Counter::WriteRecorded,
        Some(Recorded::RingFull) => Counter::WriteRingFull,
        None => return,
    };
    if tally.count(outcome) == 0 && outcome == Counter::WriteRingFull {
        warn!(
            ctx,
            "ring buffer full: records of writes of arm {} are being dropped", arm
        );
    }
}

/// A thread ends: its number may be given to another.
#[inline(always)]
pub fn thread_end() {
    let current = current();
    let Some(thread) = thread(current.tid) else {
        return;
    };
    let open = match thread.state {
        IN_READ => Some(Counter::ReadThreadEnded),
        IN_WRITE => Some(Counter::WriteThreadEnded),
        _ => None,
    };
    if let Some(counter) = open {
        Tally::of(thread.arm, thread).count(counter);
    }
    forget(thread);
}

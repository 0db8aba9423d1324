//! The hook's probe sites. Their arguments are the registers of a C call; the hook's `site` module
//! documents them.

use aya_ebpf::macros::uprobe;
use aya_ebpf::programs::ProbeContext;
use aya_log_ebpf::warn;
use probe_common::lane::Gathered;
use probe_common::threads::{IDLE, READ_DONE};
use probe_common::{
    Accepted, Closed, Connection, ConnectionKey, Counter, EVENT_ACCEPTED, EVENT_CLOSED,
    EVENT_HOOKED_READ, HookedRead, SpanKind, Thread, UNKNOWN_OFFSET,
};

use crate::clock::now_ns;
use crate::connections::{self, connection};
use crate::maps::{Recorded, count_hit_of_other, gather, have_kernel_pair, record};
use crate::own_stack::keep_to_own_stack;
use crate::tally::Tally;
use crate::targets::{Current, arm_of, current};
use crate::threads::thread;

/// `readhook:read_done`: a hooked read is about to return.
#[uprobe]
pub fn read_done(ctx: ProbeContext) -> u32 {
    keep_to_own_stack(&ctx);
    let _ = on_read_done(&ctx);
    0
}

#[inline(always)]
fn on_read_done(ctx: &ProbeContext) -> Option<()> {
    let current = current();
    let Some(arm) = arm_of(current.tgid) else {
        count_hit_of_other();
        return None;
    };
    let thread = followed(current);
    let mut tally = tally(arm, thread.as_deref());
    tally.count(Counter::SiteHits);
    let mut read = HookedRead {
        kind: EVENT_HOOKED_READ,
        arm,
        tgid: current.tgid,
        tid: current.tid,
        call_word: ctx.arg(0)?,
        returned: ctx.arg(1)?,
        enter_ns: ctx.arg(2)?,
        inner_exit_ns: ctx.arg(3)?,
        exit_ns: ctx.arg(4)?,
        connection: ctx.arg(5)?,
        ..HookedRead::default()
    };
    // Before anything that can fail: offsets stay right when records are lost.
    read.first_byte = advance(&mut tally, &read);
    // The kernel pair brackets `read(2)` alone.
    let is_read = (read.call_word >> 48) as u8 == 0;
    if is_read && have_kernel_pair() && !pair(&mut read, thread) {
        tally.count(Counter::SiteUnpaired);
        return None;
    }
    add_spans(&mut tally, &read);
    let outcome = match gather(&mut tally, Gathered::HookedReads, read)? {
        Recorded::Yes => Counter::SiteRecorded,
        Recorded::RingFull => Counter::SiteRingFull,
    };
    if tally.count(outcome) == 0 && outcome == Counter::SiteRingFull {
        warn!(
            ctx,
            "ring buffer full: records of hooked reads of arm {} are being dropped", arm
        );
    }
    Some(())
}

/// What is known of the thread that runs; `None` when it is not followed.
#[inline(always)]
fn followed(current: Current) -> Option<&'static mut Thread> {
    thread(current.tid).filter(|thread| thread.tgid == current.tgid)
}

#[inline(always)]
fn tally(arm: u32, thread: Option<&Thread>) -> Tally {
    match thread {
        Some(thread) => Tally::of(arm, thread),
        None => Tally::of_cpu(arm),
    }
}

#[inline(always)]
fn add_spans(tally: &mut Tally, read: &HookedRead) {
    let hook_ns = read.exit_ns.wrapping_sub(read.enter_ns);
    tally.add_span(SpanKind::HookSpan, hook_ns);
    let overhead_ns = read.exit_ns.wrapping_sub(read.inner_exit_ns);
    tally.add_span(SpanKind::HookOverhead, overhead_ns);
    if read.syscall_exit_ns != 0 {
        let syscall_ns = read.syscall_exit_ns.wrapping_sub(read.syscall_enter_ns);
        tally.add_span(SpanKind::HookedReadSyscall, syscall_ns);
    }
}

/// The offset in its connection of the first byte that this read returned; moves the connection on
/// behind the last.
#[inline(always)]
fn advance(tally: &mut Tally, read: &HookedRead) -> u64 {
    let key = ConnectionKey {
        tgid: read.tgid,
        fd: read.call_word as i32,
    };
    match connection(key) {
        Some(connection) if connection.identity == read.connection => {
            let first_byte = connection.received;
            if read.returned > 0 && first_byte != UNKNOWN_OFFSET {
                connection.received = first_byte + read.returned as u64;
            }
            first_byte
        }
        _ => {
            // Accepted before the probes were attached, or when the table was full.
            tally.count(Counter::SiteConnectionUnknown);
            let connection = Connection {
                identity: read.connection,
                received: UNKNOWN_OFFSET,
            };
            if !connections::insert(key, connection) {
                tally.count(Counter::SiteTableFull);
            }
            UNKNOWN_OFFSET
        }
    }
}

/// Completes a read with the syscall span of its thread. The span must be of the same descriptor
/// and result, and lie within what the hook timed.
#[inline(always)]
fn pair(read: &mut HookedRead, thread: Option<&mut Thread>) -> bool {
    let Some(span) = thread else {
        return false;
    };
    if span.state != READ_DONE {
        return false;
    }
    span.state = IDLE;
    // The C library turns the kernel's -errno into -1.
    let same_result = span.returned == read.returned || (span.returned < 0 && read.returned == -1);
    let fits = same_result
        && span.fd == read.call_word as i32
        && span.enter_ns >= read.enter_ns
        && span.exit_ns <= read.inner_exit_ns;
    if fits {
        read.syscall_enter_ns = span.enter_ns;
        read.syscall_exit_ns = span.exit_ns;
    }
    fits
}

/// `readhook:accepted`: a connection was accepted and marked.
#[uprobe]
pub fn accepted(ctx: ProbeContext) -> u32 {
    keep_to_own_stack(&ctx);
    let _ = on_accepted(&ctx);
    0
}

#[inline(always)]
fn on_accepted(ctx: &ProbeContext) -> Option<()> {
    let current = current();
    let tgid = current.tgid;
    let arm = arm_of(tgid)?;
    let mut tally = tally(arm, followed(current).as_deref());
    tally.count(Counter::AcceptedHits);
    let accepted = Accepted {
        kind: EVENT_ACCEPTED,
        arm,
        tgid,
        fd: ctx.arg(0)?,
        connection: ctx.arg(1)?,
        family: ctx.arg(2)?,
        peer_port: ctx.arg(3)?,
        accepted_ns: ctx.arg(4)?,
    };
    let key = ConnectionKey {
        tgid,
        fd: accepted.fd,
    };
    let connection = Connection {
        identity: accepted.connection,
        received: 0,
    };
    let outcome = if !connections::insert(key, connection) {
        if tally.count(Counter::AcceptedTableFull) == 0 {
            warn!(
                ctx,
                "table of connections full: arm {} has reads of unknown offset", arm
            );
        }
        return None;
    } else if record(&mut tally, accepted) == Recorded::Yes {
        Counter::AcceptedRecorded
    } else {
        Counter::AcceptedRingFull
    };
    tally.count(outcome);
    Some(())
}

/// `readhook:closed`: a connection is being closed.
#[uprobe]
pub fn closed(ctx: ProbeContext) -> u32 {
    keep_to_own_stack(&ctx);
    let _ = on_closed(&ctx);
    0
}

#[inline(always)]
fn on_closed(ctx: &ProbeContext) -> Option<()> {
    let current = current();
    let tgid = current.tgid;
    let arm = arm_of(tgid)?;
    let mut tally = tally(arm, followed(current).as_deref());
    tally.count(Counter::ClosedHits);
    let fd = ctx.arg(0)?;
    let key = ConnectionKey { tgid, fd };
    let identity = ctx.arg(1)?;
    let received = match connection(key) {
        Some(connection) if connection.identity == identity => connection.received,
        _ => UNKNOWN_OFFSET,
    };
    connections::remove(key);
    let closed = Closed {
        kind: EVENT_CLOSED,
        arm,
        tgid,
        fd,
        connection: identity,
        closed_ns: now_ns(),
        received,
    };
    let outcome = if record(&mut tally, closed) == Recorded::Yes {
        Counter::ClosedRecorded
    } else {
        Counter::ClosedRingFull
    };
    tally.count(outcome);
    Some(())
}

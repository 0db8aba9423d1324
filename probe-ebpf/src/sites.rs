//! The hook's probe sites. Their arguments are the registers of a C call; the hook's `site` module
//! documents them.

use abi::threads::{IDLE, READ_DONE};
use abi::{
    Accepted, Closed, Connection, ConnectionKey, Counter, EVENT_ACCEPTED, EVENT_CLOSED,
    EVENT_HOOKED_READ, EVENT_HOOKED_READ_AND_SYSCALL, HookedRead, SpanKind, Thread, UNKNOWN_OFFSET,
};
use aya_ebpf::macros::uprobe;
use aya_ebpf::programs::ProbeContext;
use aya_log_ebpf::warn;

use crate::arguments::argument;
use crate::clock::now_ns;
use crate::connections::{self, connection};
use crate::maps::{
    Recorded, count_hit_of_other, gather, have_kernel_pair, record, want_read_records,
};
use crate::own_stack::keep_to_own_stack;
use crate::spans::{follow_from_now, record_read, settle_read};
use crate::tally::{Tally, lane_of_thread};
use crate::targets::{Current, Traced, current, observed};
use crate::threads::thread;

/// `readhook:read_done`: a hooked read is about to return.
#[uprobe]
pub fn read_done(ctx: ProbeContext) -> u32 {
    keep_to_own_stack(&ctx);
    let current = current();
    let Some(target) = observed(current.tgid()) else {
        count_hit_of_other();
        return 0;
    };
    let call = Call {
        ctx: &ctx,
        current,
        arm: target.arm(),
    };
    // Two copies of what follows, so that it need not ask again and again where to add things up.
    let thread = thread(current).filter(|thread| thread.arm == call.arm);
    let outcome = match thread.as_deref().and_then(lane_of_thread) {
        Some(lane) => on_read_done(&call, Tally::in_lane(call.arm, lane), thread),
        None => on_read_done(&call, Tally::of_cpu(call.arm), thread),
    };
    if outcome == Some(Outcome::FirstDropped) {
        warn!(
            &ctx,
            "ring buffer full: records of hooked reads of arm {} are being dropped", call.arm
        );
    }
    0
}

/// A call of the hooked read, as its site has it.
struct Call<'c> {
    ctx: &'c ProbeContext,
    current: Current,
    arm: u32,
}

impl Call<'_> {
    /// See [`HookedRead::call_word`].
    #[inline(always)]
    fn word(&self) -> u64 {
        argument(self.ctx, 0)
    }

    #[inline(always)]
    fn returned(&self) -> i64 {
        argument(self.ctx, 1) as i64
    }

    #[inline(always)]
    fn enter_ns(&self) -> u64 {
        argument(self.ctx, 2)
    }

    #[inline(always)]
    fn inner_exit_ns(&self) -> u64 {
        argument(self.ctx, 3)
    }

    #[inline(always)]
    fn exit_ns(&self) -> u64 {
        argument(self.ctx, 4)
    }

    /// The hook's identity of it.
    #[inline(always)]
    fn connection(&self) -> u64 {
        argument(self.ctx, 5)
    }

    /// The kernel pair brackets `read(2)` alone.
    #[inline(always)]
    fn is_read(&self) -> bool {
        (self.word() >> 48) as u8 == 0
    }
}

/// What is worth a word to the agent.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Outcome {
    /// The first record of an arm that was dropped, or of a CPU.
    FirstDropped,
}

#[inline(always)]
fn on_read_done(call: &Call<'_>, mut tally: Tally, thread: Option<&mut Thread>) -> Option<Outcome> {
    tally.count(Counter::SiteHits);
    // Before anything that can fail: offsets stay right when records are lost.
    let first_byte = advance(&mut tally, call);
    let mut syscall = None;
    if call.is_read() && have_kernel_pair() {
        syscall = claim(&mut tally, call, thread);
        if syscall.is_none() {
            tally.count(Counter::SiteUnpaired);
            return None;
        }
    }
    let exit_ns = call.exit_ns();
    tally.add_span(SpanKind::HookSpan, exit_ns.wrapping_sub(call.enter_ns()));
    let overhead_ns = exit_ns.wrapping_sub(call.inner_exit_ns());
    tally.add_span(SpanKind::HookOverhead, overhead_ns);
    let mut stands_for_both = false;
    if let Some(read) = syscall {
        tally.add_span(SpanKind::HookedReadSyscall, read.exit_ns - read.enter_ns);
        // In what the C library makes of an error, the kernel's number of it is lost.
        stands_for_both = want_read_records() && read.returned == call.returned();
        if !stands_for_both {
            record_read(&mut tally, read);
        }
    }
    let spans = [u64::from(stands_for_both), 1, 0];
    let recorded = gather(&mut tally, spans, |record: &mut HookedRead| {
        record.kind = if stands_for_both {
            EVENT_HOOKED_READ_AND_SYSCALL
        } else {
            EVENT_HOOKED_READ
        };
        record.arm = call.arm;
        record.pid_tgid = call.current.pid_tgid;
        record.connection = call.connection();
        record.call_word = call.word();
        record.first_byte = first_byte;
        record.returned = call.returned();
        record.enter_ns = call.enter_ns();
        record.inner_exit_ns = call.inner_exit_ns();
        record.exit_ns = call.exit_ns();
        let (enter_ns, exit_ns) = syscall.map_or((0, 0), |read| (read.enter_ns, read.exit_ns));
        record.syscall_enter_ns = enter_ns;
        record.syscall_exit_ns = exit_ns;
    })?;
    let (of_site, of_read) = match recorded {
        Recorded::Yes => (Counter::SiteRecorded, Counter::ReadRecorded),
        Recorded::RingFull => (Counter::SiteRingFull, Counter::ReadRingFull),
    };
    if stands_for_both {
        tally.count(of_read);
    }
    let is_first = tally.count(of_site) == 0;
    (is_first && recorded == Recorded::RingFull).then_some(Outcome::FirstDropped)
}

/// The offset in its connection of the first byte that this read returned; moves the connection on
/// behind the last.
#[inline(always)]
fn advance(tally: &mut Tally, call: &Call<'_>) -> u64 {
    let key = ConnectionKey {
        tgid: call.current.tgid(),
        fd: call.word() as i32,
    };
    match connection(key) {
        Some(connection) if connection.identity() == call.connection() => {
            let first_byte = connection.received();
            let returned = call.returned();
            if returned > 0 && first_byte != UNKNOWN_OFFSET {
                connection.set_received(first_byte + returned as u64);
            }
            first_byte
        }
        _ => {
            // Accepted before the probes were attached, or when the table was full.
            tally.count(Counter::SiteConnectionUnknown);
            let connection = Connection {
                identity: call.connection(),
                received: UNKNOWN_OFFSET,
            };
            if !connections::insert(key, connection) {
                tally.count(Counter::SiteTableFull);
            }
            UNKNOWN_OFFSET
        }
    }
}

/// The `read(2)` that the hook has made: that of its thread that waits for a site. It must be of the same
/// descriptor and result, and lie within what the hook timed. Where there is none, the reason is counted.
#[inline(always)]
fn claim<'t>(
    tally: &mut Tally,
    call: &Call<'_>,
    thread: Option<&'t mut Thread>,
) -> Option<&'t Thread> {
    let Some(span) = thread else {
        // The first that is seen of the thread: its read may have been entered before the probes were attached.
        follow_from_now(call.current, call.arm);
        return None;
    };
    if span.state == READ_DONE {
        span.state = IDLE;
        // The C library turns the kernel's -errno into -1.
        let returned = call.returned();
        let same_result = span.returned == returned || (span.returned < 0 && returned == -1);
        if same_result
            && span.fd == call.word() as i32
            && span.enter_ns >= call.enter_ns()
            && span.exit_ns <= call.inner_exit_ns()
        {
            return Some(span);
        }
        settle_read(tally, span);
    }
    tally.count(if span.enter_ns < call.enter_ns() {
        Counter::SiteWithoutSyscall
    } else {
        Counter::SiteInterrupted
    });
    None
}

/// Where what a site does is added up.
#[inline(always)]
fn tally(current: Current, target: Traced) -> Tally {
    let arm = target.arm();
    match thread(current).filter(|thread| thread.arm == arm) {
        Some(thread) => Tally::of(thread),
        None => Tally::of_cpu(arm),
    }
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
    let tgid = current.tgid();
    let target = observed(tgid)?;
    let arm = target.arm();
    let mut tally = tally(current, target);
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
    let tgid = current.tgid();
    let target = observed(tgid)?;
    let arm = target.arm();
    let mut tally = tally(current, target);
    tally.count(Counter::ClosedHits);
    let fd = ctx.arg(0)?;
    let key = ConnectionKey { tgid, fd };
    let identity = ctx.arg(1)?;
    let received = match connection(key) {
        Some(connection) if connection.identity() == identity => connection.received(),
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

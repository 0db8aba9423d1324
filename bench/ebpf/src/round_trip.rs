//! Round trips of one process at its own sockets: from the entry of the call that begins to send a request to
//! the exit of the last call that returned bytes before the next request. `cargo xtask bench-load` holds what
//! load generators say against them.
//!
//! Followed are connections to one TCP port, from `connect(2)` to `close(2)`. The clock is read right behind the
//! entry and right before the exit: what the programs do lies within the round trip, as the process sees it
//! too, and not between the process's clock and ours.
#![allow(
    unsafe_code,
    reason = "map values and registers are reached through raw pointers that the kernel's verifier checks"
)]

use aya_ebpf::bindings::pt_regs;
use aya_ebpf::helpers::{bpf_get_current_pid_tgid, bpf_probe_read_user};
use aya_ebpf::macros::{btf_tracepoint, map};
use aya_ebpf::maps::{HashMap, PerCpuArray};
use aya_ebpf::programs::BtfTracePointContext;

use crate::cells::{add, setting};
use crate::clock::now_ns;
use crate::histogram::add_span;
use crate::kernel_abi::{self, typed_number, typed_word};
use crate::shared::{RoundTrip, RoundTripCounts};

/// Of connections, beside what the product looks at.
#[cfg(bpf_target_arch = "x86_64")]
mod client_abi {
    pub const READV: i64 = 19;
    pub const RECVFROM: i64 = 45;
    pub const RECVMSG: i64 = 47;
    pub const CLOSE: i64 = 3;
    pub const CONNECT: i64 = 42;
    /// `si`, in words.
    pub const SECOND_ARGUMENT_WORD: usize = 13;
}

/// As above.
#[cfg(bpf_target_arch = "aarch64")]
mod client_abi {
    pub const READV: i64 = 65;
    pub const RECVFROM: i64 = 207;
    pub const RECVMSG: i64 = 212;
    pub const CLOSE: i64 = 57;
    pub const CONNECT: i64 = 203;
    /// `regs[1]`, in words.
    pub const SECOND_ARGUMENT_WORD: usize = 1;
}

/// The process. Set by the loader, as is the next.
#[unsafe(no_mangle)]
static ROUND_TRIP_TGID: u32 = 0;

/// The port that its connections go to, in the network's byte order.
#[unsafe(no_mangle)]
static ROUND_TRIP_PORT: u16 = 0;

/// What is under way, by descriptor. The loader sets the number of entries.
#[map]
static ROUND_TRIPS: HashMap<i32, RoundTrip> = HashMap::with_max_entries(1, 0);

/// What happened else.
#[map]
static ROUND_TRIP_COUNTS: PerCpuArray<RoundTripCounts> = PerCpuArray::with_max_entries(1, 0);

#[inline(always)]
fn is_ours() -> bool {
    (bpf_get_current_pid_tgid() >> 32) as u32 == setting(&ROUND_TRIP_TGID)
}

#[inline(always)]
fn round_trip(fd: i32) -> Option<&'static mut RoundTrip> {
    let round_trip = ROUND_TRIPS.get_ptr_mut(fd)?;
    // SAFETY: entries are preallocated, so the memory stays an entry of this map.
    Some(unsafe { &mut *round_trip })
}

#[inline(always)]
fn count(which: impl FnOnce(&mut RoundTripCounts) -> &mut u64) {
    if let Some(counts) = ROUND_TRIP_COUNTS.get_ptr_mut(0) {
        // SAFETY: the verifier has seen the null check; other writers use atomic instructions too.
        add(which(unsafe { &mut *counts }), 1);
    }
}

#[btf_tracepoint(function = "sys_enter")]
pub fn round_trip_enter(ctx: BtfTracePointContext) -> i32 {
    if !is_ours() {
        return 0;
    }
    let now_ns = now_ns();
    // TP_PROTO(struct pt_regs *regs, long id)
    let regs: *const pt_regs = ctx.arg(0);
    let number: i64 = ctx.arg(1);
    let fd = typed_word(regs, kernel_abi::FIRST_ARGUMENT_WORD) as i32;
    match number {
        kernel_abi::WRITE | kernel_abi::WRITEV | kernel_abi::SENDTO | kernel_abi::SENDMSG => {
            send(fd, now_ns);
        }
        client_abi::CONNECT => connect(fd, typed_word(regs, client_abi::SECOND_ARGUMENT_WORD)),
        client_abi::CLOSE => close(fd),
        _ => {}
    }
    0
}

#[btf_tracepoint(function = "sys_exit")]
pub fn round_trip_exit(ctx: BtfTracePointContext) -> i32 {
    if !is_ours() {
        return 0;
    }
    // TP_PROTO(struct pt_regs *regs, long ret)
    let regs: *const pt_regs = ctx.arg(0);
    let returned: i64 = ctx.arg(1);
    let is_read = matches!(
        typed_number(regs),
        kernel_abi::READ | client_abi::READV | client_abi::RECVFROM | client_abi::RECVMSG
    );
    if is_read
        && returned > 0
        && let Some(round_trip) =
            round_trip(typed_word(regs, kernel_abi::FIRST_ARGUMENT_WORD) as i32)
        && round_trip.sent_ns != 0
    {
        round_trip.received_ns = now_ns();
    }
    0
}

/// The process connects a socket. A first word that cannot be read is no address of ours.
#[inline(always)]
fn connect(fd: i32, address: u64) {
    let address = core::ptr::with_exposed_provenance::<[u16; 2]>(address as usize);
    // SAFETY: the helper checks the address. Family and port come first, of IPv4 and of IPv6.
    let Ok([_, port]) = (unsafe { bpf_probe_read_user(address) }) else {
        count(|counts| &mut counts.unreadable_addresses);
        return;
    };
    if port != setting(&ROUND_TRIP_PORT) {
        return;
    }
    match ROUND_TRIPS.insert(fd, RoundTrip::default(), 0) {
        Ok(()) => count(|counts| &mut counts.connections),
        Err(_) => count(|counts| &mut counts.connections_not_followed),
    }
}

/// The process writes to a connection. The response to the request before is complete then.
#[inline(always)]
fn send(fd: i32, now_ns: u64) {
    let Some(round_trip) = round_trip(fd) else {
        return;
    };
    if round_trip.received_ns != 0 {
        end(round_trip);
    } else if round_trip.sent_ns != 0 {
        // The rest of the same request, or one behind another.
        count(|counts| &mut counts.further_writes);
        return;
    }
    *round_trip = RoundTrip {
        sent_ns: now_ns,
        received_ns: 0,
    };
}

#[inline(always)]
fn close(fd: i32) {
    if let Some(round_trip) = round_trip(fd) {
        if round_trip.received_ns != 0 {
            end(round_trip);
        } else if round_trip.sent_ns != 0 {
            count(|counts| &mut counts.unanswered);
        }
        let _ = ROUND_TRIPS.remove(fd);
    }
}

#[inline(always)]
fn end(round_trip: &RoundTrip) {
    add_span(round_trip.received_ns - round_trip.sent_ns);
}

//! `CLOCK_MONOTONIC`, the clock that `bpf_ktime_get_ns` and the load generator read too.
#![allow(
    unsafe_code,
    reason = "the C library is the only door to the vDSO without std, and its function is found by dlsym"
)]

use core::ffi::{c_int, c_void};
use core::mem;

use crate::next::Target;
use crate::raw;

type ClockFn = unsafe extern "C" fn(c_int, *mut libc::timespec) -> c_int;

/// The C library's `clock_gettime`, which goes through the vDSO; until that is found, a system call.
static READ: Target<ClockFn> =
    // SAFETY: it is a function of this type.
    unsafe { Target::new(by_system_call as *mut c_void) };

extern "C" fn by_system_call(_clock: c_int, now: *mut libc::timespec) -> c_int {
    // SAFETY: `monotonic_ns` passes a live, writable timespec.
    raw::monotonic(unsafe { &mut *now });
    0
}

/// Finds the C library's own clock, past any library that defines a function of its name to show programs another time.
/// Called from the constructor: it is not async-signal-safe.
pub fn find() {
    // SAFETY: the name is a C string; the library is loaded already. musl's answers to this name, too.
    let library =
        unsafe { libc::dlopen(c"libc.so.6".as_ptr(), libc::RTLD_LAZY | libc::RTLD_NOLOAD) };
    if library.is_null() {
        return;
    }
    // SAFETY: the handle is valid and the name a C string.
    let function = unsafe { libc::dlsym(library, c"clock_gettime".as_ptr()) };
    // SAFETY: the C library's function of this name has this type; a null pointer becomes `None`.
    let function = unsafe { mem::transmute::<*mut c_void, Option<ClockFn>>(function) };
    if let Some(function) = function {
        READ.set(function);
    }
}

/// Nanoseconds on `CLOCK_MONOTONIC`. Async-signal-safe: it goes through the vDSO and never sets
/// `errno`, because this clock always exists.
#[inline]
pub fn monotonic_ns() -> u64 {
    let mut now = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `now` is a live, writable timespec.
    unsafe { READ.get()(libc::CLOCK_MONOTONIC, &raw mut now) };
    now.tv_sec.cast_unsigned() * 1_000_000_000 + now.tv_nsec.cast_unsigned()
}

/// How long [`busy_wait`] must aim to wait so that the call as a whole takes `length_ns` on average.
///
/// The call reads the clock once before it waits, and ends at the first read past the deadline, half
/// a read late on average: together one and a half reads, whose cost is measured here. A length
/// below that cannot be made, and becomes 0.
pub fn wait_for_call_of(length_ns: u64) -> u64 {
    if length_ns == 0 {
        return 0;
    }
    length_ns.saturating_sub(clock_read_ns() * 3 / 2)
}

/// Burns CPU until `wait_ns` have passed since the call's first clock read.
#[inline(never)] // who does not wait saves no registers for it
pub fn busy_wait(wait_ns: u64) {
    busy_wait_since(monotonic_ns(), wait_ns);
}

/// Burns CPU until `wait_ns` have passed since an instant; returns how many have. It reads the clock at least once.
pub fn busy_wait_since(start_ns: u64, wait_ns: u64) -> u64 {
    loop {
        // No pause instruction: it would make the end of the wait coarser.
        let passed_ns = monotonic_ns().saturating_sub(start_ns);
        if passed_ns >= wait_ns {
            return passed_ns;
        }
    }
}

/// What one clock read costs: the least of several means, as interrupts only ever add.
fn clock_read_ns() -> u64 {
    const READS: u64 = 200;
    let mut least = u64::MAX;
    for _ in 0..20 {
        let start = monotonic_ns();
        for _ in 1..READS {
            monotonic_ns();
        }
        least = least.min((monotonic_ns() - start) / READS);
    }
    least
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_is_the_same_before_and_after_it_is_found() {
        let mut last = monotonic_ns();
        for _ in 0..3 {
            find();
            let now = monotonic_ns();
            assert!((last..last + 1_000_000_000).contains(&now), "{last} {now}");
            last = now;
        }
    }

    #[test]
    fn a_wait_makes_up_for_what_waiting_costs() {
        let wait_ns = wait_for_call_of(50_000);
        assert!((45_000..50_000).contains(&wait_ns), "{wait_ns}");
        assert_eq!((wait_for_call_of(0), wait_for_call_of(1)), (0, 0));
    }

    #[test]
    fn a_wait_never_ends_early() {
        let start = monotonic_ns();
        busy_wait(20_000);
        assert!(monotonic_ns() - start >= 20_000);
    }
}

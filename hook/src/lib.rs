//! `readhook.so`: an `LD_PRELOAD` interposer on `accept`, `accept4`, `read` and `close`.
//!
//! It marks the descriptors of accepted IPv4 and IPv6 connections, scans what `read` returns on
//! them for a list of keywords, and carries USDT probe sites so that a tracer can time it from
//! right beside the hook. It re-creates the hook of *Benchmarking Function Hook Latency in
//! Cloud-Native Environments* (SSP 2023).
//!
//! The hook runs inside other people's programs: in signal handlers, in children of `fork`, in
//! threads that are being cancelled, before `main`, and during `dlopen`. So on the path of `read`
//! nothing allocates, locks, uses stdio, unwinds, changes `errno`, or looks at a byte beyond the
//! count that was really read.
//!
//! One idea a module: [`entry`] holds the interposed symbols, [`rung`] what each mode does on a
//! call, [`marks`] which descriptors are connections, [`scan`] the keyword scanner, [`site`] the
//! probe sites, [`settings`] the environment variables.
#![cfg_attr(not(test), no_std)]
#![cfg_attr(
    test,
    allow(
        dead_code,
        reason = "the test program is not preloaded, so nothing enters"
    )
)]

mod clock;
mod connection;
mod entry;
mod errno;
mod line;
mod marks;
mod match_log;
mod next;
#[cfg(not(test))]
mod personality;
mod rung;
mod scan;
mod settings;
mod site;
mod words;

// C functions are `extern "C"`, not `extern "C-unwind"`: with panic=abort the latter stops the
// program when `pthread_cancel` unwinds through a blocked read, while plain frames, which carry call
// frame information and nothing to clean up, let it pass.

/// A panic here is a bug in the hook. There is nothing safe to unwind to, so the program stops.
#[cfg(not(test))]
#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    next::abort()
}

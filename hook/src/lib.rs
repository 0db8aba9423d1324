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
//! call, [`scan`] the keyword scanner, [`site`] the probe sites, [`settings`] the environment variables. What the
//! bracket has as well is in `preload`: which descriptors are connections, and whose they are.
//!
//! # Limits
//!
//! The hook sees what goes through the dynamic symbols `accept`, `accept4`, `read` and `close`, and
//! nothing else:
//!
//! - Reads by `recv`, `recvfrom`, `recvmsg` and `readv` are hooked where `READHOOK_FUNCTIONS` names them.
//!   Reads by `pread`, `recvmmsg`, stdio, `__read_chk` and its like (which `_FORTIFY_SOURCE` makes of some
//!   reads), `io_uring` or a raw system call are not hooked, and a program that is linked statically is not
//!   hooked at all.
//! - Only the descriptor that `accept` or `accept4` returned is marked. One made from it by `dup`,
//!   `dup2` or `fcntl`, received from another process, inherited through `execve` or accepted by
//!   `io_uring` is not.
//! - A mark outlives its connection when the descriptor is closed behind `close`: by `dup2` onto it,
//!   `fclose`, `close_range`, `closefrom`, or a raw system call. Until the number is accepted again or
//!   closed by `close`, reads of whatever has it then are treated as reads of the old connection, and
//!   the `closed` site has not fired.
//! - A process that shares its parent's memory (a child of `vfork`, or of `clone` with `CLONE_VM`)
//!   leaves the marks as they are and fires no `closed` site, as its descriptors are not the
//!   parent's.
#![cfg_attr(not(test), no_std)]
#![cfg_attr(
    test,
    allow(
        dead_code,
        reason = "the test program is not preloaded, so nothing enters"
    )
)]

preload::library!();

mod call;
#[cfg(target_arch = "x86_64")]
mod cpu;
mod entry;
mod family;
mod match_log;
mod matches;
mod pieces;
mod rung;
mod scan;
mod settings;
mod site;
mod words;

// C functions are `extern "C"`, not `extern "C-unwind"`: with panic=abort the latter stops the
// program when `pthread_cancel` unwinds through a blocked read, while plain frames, which carry call
// frame information and nothing to clean up, let it pass.

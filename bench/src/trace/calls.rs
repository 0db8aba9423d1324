//! The calls that are timed.
#![allow(
    unsafe_code,
    reason = "read(2) as C programs call it, so that a hook is in the way, and a function in assembly"
)]

use std::arch::global_asm;
use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd};

/// Name of the function that [`pushed`] calls, in the table of symbols.
pub const PUSHED_SYMBOL: &str = "trace_bench_pushed";

// A function as compilers make them: its first instruction saves a register, which the kernel emulates
// when there is a probe on it. (An `endbr64` it would single-step.)
#[cfg(target_arch = "x86_64")]
global_asm!(
    ".pushsection .text.trace_bench, \"ax\", @progbits",
    ".balign 32",
    ".globl trace_bench_pushed",
    ".type trace_bench_pushed, @function",
    "trace_bench_pushed:",
    "push %rbp",
    "mov %rsp, %rbp",
    "pop %rbp",
    "ret",
    ".size trace_bench_pushed, . - trace_bench_pushed",
    ".popsection",
    options(att_syntax)
);
#[cfg(target_arch = "aarch64")]
global_asm!(
    ".pushsection .text.trace_bench, \"ax\", @progbits",
    ".balign 32",
    ".globl trace_bench_pushed",
    ".type trace_bench_pushed, @function",
    "trace_bench_pushed:",
    "stp x29, x30, [sp, #-16]!",
    "ldp x29, x30, [sp], #16",
    "ret",
    ".size trace_bench_pushed, . - trace_bench_pushed",
    ".popsection",
);

unsafe extern "C" {
    fn trace_bench_pushed();
}

/// Calls the function that begins with `push`.
pub fn pushed() {
    // SAFETY: the function keeps to the C calling convention and does nothing else.
    unsafe { trace_bench_pushed() };
}

/// Reads one byte by the symbol `read`. Rust's own `TcpStream` would call `recv`.
pub fn read_byte(from: BorrowedFd<'_>) -> io::Result<()> {
    let mut byte = 0_u8;
    // SAFETY: the buffer is one byte long, and the descriptor open.
    match unsafe { libc::read(from.as_raw_fd(), (&raw mut byte).cast(), 1) } {
        1 => Ok(()),
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        _ => Err(io::Error::last_os_error()),
    }
}

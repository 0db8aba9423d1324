//! Results on stdout. Its reader may go before the end, as `head` does: that is no fault, and no reason to panic in the
//! midst of what there is to clean up, as std's `println!` would. What cannot be written for another reason, a full disk
//! say, is told once, and the program fails at its end.

use std::fmt::Arguments;
use std::io::{ErrorKind, Write as _};
use std::sync::atomic::{AtomicBool, Ordering};

static HAS_FAILED: AtomicBool = AtomicBool::new(false);

/// Prints to stdout, with colour only where it is a terminal: what [`out!`](crate::out) and
/// [`outln!`](crate::outln) expand to.
pub fn print(text: Arguments<'_>) {
    let Err(error) = anstream::stdout().write_fmt(text) else {
        return;
    };
    if error.kind() != ErrorKind::BrokenPipe && !HAS_FAILED.swap(true, Ordering::Relaxed) {
        eprintln!("cannot write to stdout: {error}");
    }
}

/// Whether results could not be printed.
pub(crate) fn has_failed() -> bool {
    HAS_FAILED.load(Ordering::Relaxed)
}

/// `print!` for results: see [`print`](crate::print).
#[macro_export]
macro_rules! out {
    ($($text:tt)*) => { $crate::print(::std::format_args!($($text)*)) };
}

/// `println!` for results: see [`print`](crate::print).
#[macro_export]
macro_rules! outln {
    () => { $crate::print(::std::format_args!("\n")) };
    ($($text:tt)*) => { $crate::print(::std::format_args!("{}\n", ::std::format_args!($($text)*))) };
}

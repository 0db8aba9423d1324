//! The `log` rung: one line a match, appended to the file that `READHOOK_LOG` names.
#![allow(
    unsafe_code,
    reason = "the path is kept in place; fcntl through libc: the hook has no std"
)]

use core::cell::UnsafeCell;
use core::ffi::CStr;
use core::sync::atomic::{AtomicBool, AtomicI32, AtomicU64, Ordering};

use preload::clock::monotonic_ns;
use preload::line::Line;
use preload::owner;
use preload::raw::{self, file_identity};

/// The log's descriptor is moved up here, out of the way of programs that count on low numbers.
const LOWEST_DESCRIPTOR: i32 = 500;

const PATH_MAX: usize = 4_096;

struct Path(UnsafeCell<[u8; PATH_MAX]>);

// SAFETY: written by `open` alone, in the constructor, before any rung is installed; read later.
unsafe impl Sync for Path {}

static PATH: Path = Path(UnsafeCell::new([0; PATH_MAX]));
static DESCRIPTOR: AtomicI32 = AtomicI32::new(-1);
/// The file that the descriptor belongs to. A program that closes all descriptors and opens its own
/// must not find our lines in its file.
static FILE: AtomicU64 = AtomicU64::new(0);
/// Up while a thread changes the two above.
static CHANGING: AtomicBool = AtomicBool::new(false);

/// Opens the log. Called once, from the constructor. Returns whether it could.
pub fn open(path: &CStr) -> bool {
    let bytes = path.to_bytes_with_nul();
    if bytes.len() > PATH_MAX {
        return false;
    }
    // SAFETY: nobody reads the path before the constructor ends (see `Path`).
    let kept = unsafe { &mut *PATH.0.get() };
    kept[..bytes.len()].copy_from_slice(bytes);
    append_and_keep_open(b"")
}

/// Appends a line for one match. Async-signal-safe; the caller keeps `errno`.
pub fn append(fd: i32, connection: u64, word: &[u8]) {
    // By hand: the formatting of `core` takes as long as a system call.
    let mut line = Line::new();
    line.push_decimal(monotonic_ns());
    line.push(b" pid=");
    line.push_decimal(owner::number());
    line.push(b" fd=");
    line.push_decimal(u64::from(fd.cast_unsigned()));
    line.push(b" connection=");
    line.push_hexadecimal(connection);
    line.push(b" word=");
    line.push(word);
    line.push(b"\n");
    // O_APPEND keeps lines of several writers apart.
    match kept() {
        Some(log) => raw::write(log, line.as_bytes()),
        None => _ = append_and_keep_open(line.as_bytes()),
    }
}

/// The descriptor of the log, if the program has left it to us.
fn kept() -> Option<i32> {
    let log = DESCRIPTOR.load(Ordering::Acquire);
    (file_identity(log)? == FILE.load(Ordering::Relaxed)).then_some(log)
}

/// Appends through a descriptor of its own, and keeps one for later calls unless another thread has
/// just done so or does so now. Returns whether the file could be opened.
///
/// Nobody waits for the other thread, which may be one that a signal has stopped to call us. And a
/// compare-exchange of the descriptor would not do: the first thread is given the number that was
/// there before, so the second one would not notice it.
fn append_and_keep_open(line: &[u8]) -> bool {
    // SAFETY: the path was written before any caller can be here.
    let path = unsafe { &*PATH.0.get() };
    let Ok(path) = CStr::from_bytes_until_nul(path) else {
        return false;
    };
    let log = raw::open_to_append(path);
    if log < 0 {
        return false;
    }
    raw::write(log, line);
    if !CHANGING.swap(true, Ordering::Acquire) {
        if kept().is_none() {
            keep_duplicate(log);
        }
        CHANGING.store(false, Ordering::Release);
    }
    // This one has a low number. The number of the kept one is never closed: from the moment when
    // it is open again, other threads may be writing to it.
    raw::close(log);
    true
}

fn keep_duplicate(log: i32) {
    // Where the limit on descriptors is lower, any number must do.
    for lowest in [LOWEST_DESCRIPTOR, 0] {
        // SAFETY: takes no pointer. This command of fcntl is no cancellation point.
        let kept = unsafe { libc::fcntl(log, libc::F_DUPFD_CLOEXEC, lowest) };
        if kept >= 0 {
            FILE.store(file_identity(kept).unwrap_or(0), Ordering::Relaxed);
            DESCRIPTOR.store(kept, Ordering::Release);
            return;
        }
    }
}

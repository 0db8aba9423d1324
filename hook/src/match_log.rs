//! The `log` rung: one line a match, appended to the file that `READHOOK_LOG` names.
#![allow(
    unsafe_code,
    reason = "open, fstat, fcntl and write through libc: the hook has no std"
)]

use core::cell::UnsafeCell;
use core::ffi::CStr;
use core::fmt::Write as _;
use core::mem;
use core::sync::atomic::{AtomicI32, AtomicU64, Ordering};

use crate::clock::monotonic_ns;
use crate::line::Line;
use crate::next;

/// The log's descriptor is moved up here, out of the way of programs that count on low numbers.
const LOWEST_DESCRIPTOR: i32 = 500;

const PATH_MAX: usize = 4_096;

struct Path(UnsafeCell<[u8; PATH_MAX]>);

// SAFETY: written by `open` alone, in the constructor, before any rung is installed; read later.
unsafe impl Sync for Path {}

static PATH: Path = Path(UnsafeCell::new([0; PATH_MAX]));
static DESCRIPTOR: AtomicI32 = AtomicI32::new(-1);
/// Which file the descriptor belongs to: device and inode, folded. A program that closes all
/// descriptors and opens its own must not find our lines in its file.
static FILE: AtomicU64 = AtomicU64::new(0);

/// Opens the log. Called once, from the constructor. Returns whether it could.
pub fn open(path: &CStr) -> bool {
    let bytes = path.to_bytes_with_nul();
    if bytes.len() > PATH_MAX {
        return false;
    }
    // SAFETY: nobody reads the path before the constructor ends (see `Path`).
    let kept = unsafe { &mut *PATH.0.get() };
    kept[..bytes.len()].copy_from_slice(bytes);
    reopen()
}

/// Appends a line for one match. Async-signal-safe; the caller keeps `errno`.
pub fn append(fd: i32, connection: u64, word: &[u8]) {
    let log = DESCRIPTOR.load(Ordering::Relaxed);
    if file_identity(log) != Some(FILE.load(Ordering::Relaxed)) && !reopen() {
        return;
    }
    // SAFETY: getpid has no preconditions.
    let pid = unsafe { libc::getpid() };
    let mut line = Line::new();
    let _ = write!(
        line,
        "{} pid={pid} fd={fd} connection={connection:016x} word=",
        monotonic_ns()
    );
    line.push(word);
    line.push(b"\n");
    let bytes = line.as_bytes();
    let log = DESCRIPTOR.load(Ordering::Relaxed);
    // SAFETY: `bytes` is readable for its length. O_APPEND keeps lines of several writers apart.
    unsafe { libc::write(log, bytes.as_ptr().cast(), bytes.len()) };
}

fn reopen() -> bool {
    const FLAGS: i32 = libc::O_WRONLY | libc::O_APPEND | libc::O_CREAT | libc::O_CLOEXEC;
    // SAFETY: the path is a C string, written before any caller can be here.
    let low = unsafe { libc::open(PATH.0.get().cast(), FLAGS, 0o644) };
    if low < 0 {
        return false;
    }
    // SAFETY: `low` is open.
    let high = unsafe { libc::fcntl(low, libc::F_DUPFD_CLOEXEC, LOWEST_DESCRIPTOR) };
    let log = if high < 0 {
        low
    } else {
        // SAFETY: `low` is ours and has been duplicated.
        unsafe { next::close()(low) };
        high
    };
    FILE.store(file_identity(log).unwrap_or(0), Ordering::Relaxed);
    DESCRIPTOR.store(log, Ordering::Relaxed);
    true
}

fn file_identity(fd: i32) -> Option<u64> {
    // SAFETY: all-zero bytes are a valid stat.
    let mut status: libc::stat = unsafe { mem::zeroed() };
    // SAFETY: `status` is live and writable.
    let result = unsafe { libc::fstat(fd, &raw mut status) };
    (result == 0).then(|| status.st_dev.rotate_left(32) ^ status.st_ino)
}

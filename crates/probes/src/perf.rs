//! Uprobes with a USDT semaphore, through `perf_event_open(2)`.
//!
//! aya attaches uprobes, but without the reference counter that makes the kernel raise the site's
//! semaphore in the target's memory. This is the one piece of it done here.
#![allow(
    unsafe_code,
    reason = "perf_event_open and its ioctls take raw pointers and descriptors"
)]

use std::ffi::CString;
use std::fs;
use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use perf_event_open_sys::bindings::perf_event_attr;
use perf_event_open_sys::ioctls;

/// Where perf tells the number of its uprobe unit.
const UPROBE_TYPE: &str = "/sys/bus/event_source/devices/uprobe/type";
/// `PERF_FLAG_FD_CLOEXEC` of `perf_event_open(2)`.
const FD_CLOEXEC: libc::c_ulong = 1 << 3;

/// A place in a file to probe.
#[derive(Clone, Copy, Debug)]
pub struct Place<'p> {
    /// The file.
    pub path: &'p Path,
    /// Offset of the instruction.
    pub offset: u64,
    /// Offset of the semaphore that counts the tracers, if there is one.
    pub semaphore_offset: Option<u64>,
    /// Whether to probe the return of the function that begins there, rather than the instruction.
    pub is_return: bool,
}

/// An attached uprobe. Dropping it detaches, and waits for the kernel to have done so.
#[derive(Debug)]
pub struct Uprobe {
    _event_or_link: OwnedFd,
}

impl Uprobe {
    /// Of the descriptor that closing detaches.
    pub fn new(event_or_link: OwnedFd) -> Self {
        Self {
            _event_or_link: event_or_link,
        }
    }
}

/// Attaches `program` to `place`, for every process that has mapped the file.
///
/// The event is bound to a CPU, not to a process, and the program picks its targets. An event bound
/// to a process would be scheduled in and out with it: measured on one core, that added 2 µs to
/// each request of a server. Which CPU does not matter: the program runs wherever the site is hit.
///
/// The kernel's format of the event is in `/sys/bus/event_source/devices/uprobe/format`: the offset
/// of the reference counter is in the upper half of `config`, and its lowest bit asks for the return.
pub fn attach(program: BorrowedFd<'_>, place: Place<'_>) -> io::Result<Uprobe> {
    let path = CString::new(place.path.as_os_str().as_bytes())?;
    let semaphore = u32::try_from(place.semaphore_offset.unwrap_or(0))
        .map_err(|_| io::Error::other("the semaphore lies beyond 4 GiB"))?;
    let mut attr = perf_event_attr {
        type_: uprobe_type()?,
        size: u32::try_from(size_of::<perf_event_attr>()).unwrap_or(0),
        config: u64::from(semaphore) << 32 | u64::from(place.is_return),
        ..perf_event_attr::default()
    };
    attr.__bindgen_anon_3.config1 = path.as_ptr().expose_provenance() as u64;
    attr.__bindgen_anon_4.config2 = place.offset;
    // SAFETY: `attr` is complete and `path` outlives the call.
    let fd = unsafe { perf_event_open_sys::perf_event_open(&raw mut attr, -1, 0, -1, FD_CLOEXEC) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just given us this descriptor.
    let event = unsafe { OwnedFd::from_raw_fd(fd) };
    let program = program.as_raw_fd().cast_unsigned();
    // SAFETY: both descriptors are open.
    if unsafe { ioctls::SET_BPF(event.as_raw_fd(), program) } < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the descriptor is open.
    if unsafe { ioctls::ENABLE(event.as_raw_fd(), 0) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(Uprobe::new(event))
}

fn uprobe_type() -> io::Result<u32> {
    let text = fs::read_to_string(UPROBE_TYPE)
        .map_err(|error| io::Error::new(error.kind(), format!("{UPROBE_TYPE}: {error}")))?;
    text.trim()
        .parse()
        .map_err(|_| io::Error::other(format!("{UPROBE_TYPE}: \"{}\"", text.trim())))
}

/// Detaches all of `uprobes` at once. Each waits for a grace period of its own, a tenth of a second
/// long; side by side they share it.
pub fn detach_all(uprobes: Vec<Uprobe>) {
    std::thread::scope(|scope| {
        for uprobe in uprobes {
            scope.spawn(move || drop(uprobe));
        }
    });
}

/// Waits until every program of a tracepoint or kprobe that was running when it was called has
/// ended: a grace period of the kernel, which `membarrier(2)` with `MEMBARRIER_CMD_GLOBAL` waits for.
/// For those of uprobes, which can be preempted, closing the event has waited already.
pub fn wait_for_running_programs() {
    const MEMBARRIER_CMD_GLOBAL: libc::c_int = 1;
    // SAFETY: the call takes no pointers.
    let result = unsafe { libc::syscall(libc::SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0) };
    if result != 0 {
        // Kernels with isolated CPUs refuse. Programs run for microseconds.
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

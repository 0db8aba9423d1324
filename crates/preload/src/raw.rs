//! System calls straight to the kernel, by no function of any library.
//!
//! What is preloaded beside us may define each of the C library's functions, and the dynamic linker would give us theirs: one
//! that fakes the clock, refuses system calls that it does not know, or injects faults, would do so to us. And the C library's
//! `open`, `write` and `close` are cancellation points: the hook's log is written when a read has already taken bytes from
//! the connection, and a thread that ended there would lose them. `errno` is left alone.
#![allow(
    unsafe_code,
    reason = "system calls are made in assembly: the C library's wrappers may be somebody else's here"
)]

use core::arch::asm;
use core::ffi::{CStr, c_int, c_long, c_void};
use core::mem;
use core::ptr;

/// A system call: what the kernel returns, which is from -4095 to -1 where it fails.
///
/// # Safety
/// As the system call's of this number.
#[inline]
unsafe fn call(number: c_long, arguments: [usize; 6]) -> c_long {
    let returned: c_long;
    #[cfg(target_arch = "x86_64")]
    // SAFETY: the caller answers for the call; the kernel changes rcx and r11, and no memory but what the arguments point at.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") number => returned,
            in("rdi") arguments[0],
            in("rsi") arguments[1],
            in("rdx") arguments[2],
            in("r10") arguments[3],
            in("r8") arguments[4],
            in("r9") arguments[5],
            lateout("rcx") _,
            lateout("r11") _,
            options(nostack),
        );
    }
    #[cfg(target_arch = "aarch64")]
    // SAFETY: as above; here the kernel changes the result's register alone.
    unsafe {
        asm!(
            "svc 0",
            in("x8") number,
            inlateout("x0") arguments[0] => returned,
            in("x1") arguments[1],
            in("x2") arguments[2],
            in("x3") arguments[3],
            in("x4") arguments[4],
            in("x5") arguments[5],
            options(nostack),
        );
    }
    returned
}

/// As the kernel takes it: numbers are signed, and as long as its registers.
#[inline]
fn word(number: c_int) -> usize {
    (number as isize).cast_unsigned()
}

/// Opens a file for appending, and makes it if need be. Negative when it cannot.
pub fn open_to_append(path: &CStr) -> i32 {
    const FLAGS: i32 = libc::O_WRONLY | libc::O_APPEND | libc::O_CREAT | libc::O_CLOEXEC;
    let path = path.as_ptr().expose_provenance();
    // SAFETY: `path` is a C string.
    let fd = unsafe {
        let arguments = [word(libc::AT_FDCWD), path, word(FLAGS), 0o644, 0, 0];
        call(libc::SYS_openat, arguments)
    };
    i32::try_from(fd).unwrap_or(-1)
}

/// Writes `bytes`, once.
pub fn write(fd: i32, bytes: &[u8]) {
    let start = bytes.as_ptr().expose_provenance();
    // SAFETY: `bytes` is readable for its length.
    unsafe { call(libc::SYS_write, [word(fd), start, bytes.len(), 0, 0, 0]) };
}

/// A memory file that can be sealed, under a name for people.
pub fn memory_file(name: &CStr) -> Option<i32> {
    /// Not executable: kernels that insist on it (`vm.memfd_noexec`) know the flag, and old ones do not.
    const NOEXEC_SEAL: u32 = 8;
    const FLAGS: u32 = libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING;
    [FLAGS | NOEXEC_SEAL, FLAGS].into_iter().find_map(|flags| {
        let name = name.as_ptr().expose_provenance();
        // SAFETY: `name` is a C string.
        let fd = unsafe { call(libc::SYS_memfd_create, [name, flags as usize, 0, 0, 0, 0]) };
        i32::try_from(fd).ok().filter(|fd| *fd >= 0)
    })
}

/// Makes a file so large, and sets memory aside for it.
pub fn allocate(fd: i32, bytes: usize) -> bool {
    // SAFETY: no pointer is passed.
    unsafe { call(libc::SYS_fallocate, [word(fd), 0, 0, bytes, 0, 0]) == 0 }
}

/// Seals a memory file for good.
pub fn seal(fd: i32, seals: i32) -> bool {
    // SAFETY: this command takes no pointer.
    unsafe {
        call(
            libc::SYS_fcntl,
            [word(fd), word(libc::F_ADD_SEALS), word(seals), 0, 0, 0],
        ) == 0
    }
}

/// Another descriptor of the same file, from this number on, closed in programs that are executed.
pub fn duplicate(fd: i32, lowest: i32) -> Option<i32> {
    // SAFETY: this command takes no pointer.
    let duplicate = unsafe {
        let arguments = [word(fd), word(libc::F_DUPFD_CLOEXEC), word(lowest), 0, 0, 0];
        call(libc::SYS_fcntl, arguments)
    };
    i32::try_from(duplicate).ok().filter(|fd| *fd >= 0)
}

/// How long the process may make files (`RLIMIT_FSIZE`), in bytes.
pub fn longest_file() -> Option<u64> {
    // Of 64 bits each, whatever the C library's are: the limit, and how far it may be raised.
    let mut limits = [0_u64; 2];
    let resource = word(libc::RLIMIT_FSIZE.cast_signed());
    let limits_at = (&raw mut limits).expose_provenance();
    // SAFETY: `limits` is live, writable, and as large as the kernel's structure.
    let result = unsafe { call(libc::SYS_prlimit64, [0, resource, 0, limits_at, 0, 0]) };
    (result == 0).then_some(limits[0])
}

/// Closes a descriptor that is ours.
pub fn close(fd: i32) {
    // SAFETY: the caller opened `fd` and forgets it.
    unsafe { call(libc::SYS_close, [word(fd), 0, 0, 0, 0, 0]) };
}

/// Number of the calling process.
pub fn process() -> i32 {
    // SAFETY: it has no preconditions.
    let number = unsafe { call(libc::SYS_getpid, [0; 6]) };
    i32::try_from(number).unwrap_or(0)
}

/// A mapping of zeros that nobody else has, at an address that the kernel chooses. Null when there is none.
pub fn map_zeros(bytes: usize) -> *mut c_void {
    map(bytes, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, -1)
}

/// The first bytes of a file, shared with all who map it. Null when it cannot be mapped.
pub fn map_shared(fd: i32, bytes: usize) -> *mut c_void {
    map(bytes, libc::MAP_SHARED, fd)
}

fn map(bytes: usize, flags: c_int, fd: c_int) -> *mut c_void {
    let access = word(libc::PROT_READ | libc::PROT_WRITE);
    // SAFETY: the kernel chooses the address, so no other mapping is touched.
    let mapped = unsafe { call(libc::SYS_mmap, [0, bytes, access, word(flags), word(fd), 0]) };
    match usize::try_from(mapped) {
        Ok(address) => ptr::with_exposed_provenance_mut(address),
        Err(_) => ptr::null_mut(),
    }
}

/// Gives a mapping back.
///
/// # Safety
/// It is one of ours, of this size, and nobody uses it any more.
pub unsafe fn unmap(start: *mut c_void, bytes: usize) {
    let arguments = [start.expose_provenance(), bytes, 0, 0, 0, 0];
    // SAFETY: the caller says so.
    unsafe { call(libc::SYS_munmap, arguments) };
}

/// Has the kernel empty a mapping in each copy of the memory. Returns whether it does (from Linux 4.14 on).
///
/// # Safety
/// It is one of ours, of this size.
pub unsafe fn empty_on_fork(start: *mut c_void, bytes: usize) -> bool {
    let advice = word(libc::MADV_WIPEONFORK);
    let arguments = [start.expose_provenance(), bytes, advice, 0, 0, 0];
    // SAFETY: the caller says so.
    unsafe { call(libc::SYS_madvise, arguments) == 0 }
}

/// The seals of a memory file. `None` when it is none.
pub fn seals(fd: i32) -> Option<i32> {
    // SAFETY: this command takes no pointer.
    let seals = unsafe {
        let arguments = [word(fd), word(libc::F_GET_SEALS), 0, 0, 0, 0];
        call(libc::SYS_fcntl, arguments)
    };
    i32::try_from(seals).ok().filter(|seals| *seals >= 0)
}

/// The address family of a socket. `None` when it is none.
pub fn family(fd: i32) -> Option<i32> {
    let mut domain: i32 = 0;
    let mut length: libc::socklen_t = 4;
    let arguments = [
        word(fd),
        word(libc::SOL_SOCKET),
        word(libc::SO_DOMAIN),
        (&raw mut domain).expose_provenance(),
        (&raw mut length).expose_provenance(),
        0,
    ];
    // SAFETY: `domain` and `length` are live and describe a buffer of four bytes.
    let result = unsafe { call(libc::SYS_getsockopt, arguments) };
    (result == 0).then_some(domain)
}

/// The other end of an internet connection. `None` when the kernel no longer knows.
pub fn peer(fd: i32) -> Option<libc::sockaddr_in6> {
    // SAFETY: all-zero bytes are a valid sockaddr_in6.
    let mut address: libc::sockaddr_in6 = unsafe { mem::zeroed() };
    let mut length: libc::socklen_t = 28; // sizeof(struct sockaddr_in6)
    let arguments = [
        word(fd),
        (&raw mut address).expose_provenance(),
        (&raw mut length).expose_provenance(),
        0,
        0,
        0,
    ];
    // SAFETY: `address` and `length` are live; the kernel writes at most `length` bytes.
    let result = unsafe { call(libc::SYS_getpeername, arguments) };
    (result == 0).then_some(address)
}

/// `CLOCK_MONOTONIC`, by a system call.
#[cold]
pub fn monotonic(now: &mut libc::timespec) {
    let clock = word(libc::CLOCK_MONOTONIC);
    let now = ptr::from_mut(now).expose_provenance();
    // SAFETY: `now` is a live, writable timespec.
    unsafe { call(libc::SYS_clock_gettime, [clock, now, 0, 0, 0, 0]) };
}

/// Which file a descriptor belongs to: device and inode, folded. `None` when it is not open.
pub fn file_identity(fd: i32) -> Option<u64> {
    let status = status(fd)?;
    Some(status.st_dev.rotate_left(32) ^ status.st_ino)
}

/// How many bytes the file of a descriptor has. `None` when it is not open.
pub fn file_size(fd: i32) -> Option<u64> {
    u64::try_from(status(fd)?.st_size).ok()
}

fn status(fd: i32) -> Option<libc::stat> {
    // SAFETY: all-zero bytes are a valid stat.
    let mut status: libc::stat = unsafe { mem::zeroed() };
    let arguments = [word(fd), (&raw mut status).expose_provenance(), 0, 0, 0, 0];
    // SAFETY: `status` is live and writable, and on 64-bit machines the C library's is the kernel's.
    let result = unsafe { call(libc::SYS_fstat, arguments) };
    (result == 0).then_some(status)
}

#[cfg(test)]
mod tests {
    use std::ffi::CString;
    use std::os::fd::AsRawFd;

    use super::*;

    #[test]
    fn lines_are_appended_to_one_and_the_same_file() {
        let file = std::env::temp_dir().join(format!("readhook-raw-{}", std::process::id()));
        let path = CString::new(file.to_str().unwrap()).unwrap();
        let (one, two) = (open_to_append(&path), open_to_append(&path));
        write(one, b"one\n");
        write(two, b"two\n");
        assert_eq!(std::fs::read(&file).unwrap(), b"one\ntwo\n");

        let other = std::fs::File::open("/dev/null").unwrap();
        assert!(file_identity(one).is_some());
        assert_eq!((file_size(one), file_size(-1)), (Some(8), None));
        assert_eq!(file_identity(one), file_identity(two));
        assert_ne!(file_identity(one), file_identity(other.as_raw_fd()));
        close(one);
        close(two);
        std::fs::remove_file(&file).unwrap();
        assert_eq!(file_identity(-1), None);
        assert!(open_to_append(c"/nonexistent/log") < 0);
    }
}

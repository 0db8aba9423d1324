//! System calls that a pending `pthread_cancel` cannot end.
//!
//! The C library's `open`, `write` and `close` are cancellation points. The hook's log is written when a
//! read has already taken bytes from the connection; a thread that ended there would lose them.
#![allow(
    unsafe_code,
    reason = "system calls by number: there is no std, and libc's own are cancellation points"
)]

use core::ffi::{CStr, c_long};
use core::mem;

/// Opens a file for appending, and makes it if need be. Negative when it cannot.
pub fn open_to_append(path: &CStr) -> i32 {
    const FLAGS: i32 = libc::O_WRONLY | libc::O_APPEND | libc::O_CREAT | libc::O_CLOEXEC;
    // SAFETY: `path` is a C string.
    let fd = unsafe {
        libc::syscall(
            libc::SYS_openat,
            c_long::from(libc::AT_FDCWD),
            path.as_ptr(),
            c_long::from(FLAGS),
            c_long::from(0o644),
        )
    };
    i32::try_from(fd).unwrap_or(-1)
}

/// Writes `bytes`, once.
pub fn write(fd: i32, bytes: &[u8]) {
    let (start, length) = (bytes.as_ptr(), bytes.len());
    // SAFETY: `bytes` is readable for its length.
    unsafe { libc::syscall(libc::SYS_write, c_long::from(fd), start, length) };
}

/// A memory file that can be sealed, under a name for people. By number, as the name came with glibc 2.27.
pub fn memory_file(name: &CStr) -> Option<i32> {
    /// Not executable: kernels that insist on it (`vm.memfd_noexec`) know the flag, and old ones do not.
    const NOEXEC_SEAL: u32 = 8;
    const FLAGS: u32 = libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING;
    [FLAGS | NOEXEC_SEAL, FLAGS].into_iter().find_map(|flags| {
        // SAFETY: `name` is a C string.
        let fd = unsafe { libc::syscall(libc::SYS_memfd_create, name.as_ptr(), flags) };
        i32::try_from(fd).ok().filter(|fd| *fd >= 0)
    })
}

/// Makes a file so large, and sets memory aside for it.
pub fn allocate(fd: i32, bytes: usize) -> bool {
    let fd = c_long::from(fd);
    // SAFETY: no pointer is passed.
    let result = unsafe { libc::syscall(libc::SYS_fallocate, fd, 0_i64, 0_i64, bytes) };
    result == 0
}

/// Closes a descriptor that is ours.
pub fn close(fd: i32) {
    // SAFETY: the caller opened `fd` and forgets it.
    unsafe { libc::syscall(libc::SYS_close, c_long::from(fd)) };
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

/// By number also because the name `fstat` would bind the library to glibc 2.33.
fn status(fd: i32) -> Option<libc::stat> {
    // SAFETY: all-zero bytes are a valid stat.
    let mut status: libc::stat = unsafe { mem::zeroed() };
    // SAFETY: `status` is live and writable, and on 64-bit machines the C library's is the kernel's.
    let result = unsafe { libc::syscall(libc::SYS_fstat, c_long::from(fd), &raw mut status) };
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
        assert_eq!(open_to_append(c"/nonexistent/log"), -1);
    }
}

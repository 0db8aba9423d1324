//! `bpf(2)`, for what aya has no way to ask.
#![allow(
    unsafe_code,
    reason = "bpf(2) takes a union and raw pointers, and answers in another union"
)]

use std::io;
use std::mem;
use std::os::fd::{FromRawFd as _, OwnedFd};

use aya_obj::generated::{bpf_attr, bpf_cmd};

/// Arguments, all zero.
pub(crate) fn empty_attr() -> bpf_attr {
    // SAFETY: all-zero bytes are a valid bpf_attr.
    unsafe { mem::zeroed() }
}

/// An address as the kernel takes it, which reads there, and writes if `of` may be written to.
pub(crate) fn address<T>(of: *const T) -> u64 {
    of.expose_provenance() as u64
}

/// The system call.
///
/// # Safety
/// Each address in `attr` must be of what the command says, for as long as the call takes: readable, and writable where
/// the kernel answers there.
pub(crate) unsafe fn bpf(command: bpf_cmd, attr: &mut bpf_attr) -> io::Result<i32> {
    let size = size_of::<bpf_attr>();
    // SAFETY: `attr` is as large as said; the caller answers for the addresses in it.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, std::ptr::from_mut(attr), size) };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    i32::try_from(result).map_err(io::Error::other)
}

/// As above, for commands that answer with a descriptor.
///
/// # Safety
/// As for [`bpf`].
pub(crate) unsafe fn bpf_fd(command: bpf_cmd, attr: &mut bpf_attr) -> io::Result<OwnedFd> {
    // SAFETY: the caller answers for the addresses.
    let fd = unsafe { bpf(command, attr) }?;
    // SAFETY: the kernel has just given us this descriptor.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

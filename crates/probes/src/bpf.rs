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

/// The system call. Pointers in `attr` must be to what the command says.
pub(crate) fn bpf(command: bpf_cmd, attr: &mut bpf_attr) -> io::Result<i32> {
    let size = size_of::<bpf_attr>();
    // SAFETY: `attr` is as large as said, and complete for the command.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, std::ptr::from_mut(attr), size) };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    i32::try_from(result).map_err(io::Error::other)
}

/// As above, for commands that answer with a descriptor.
pub(crate) fn bpf_fd(command: bpf_cmd, attr: &mut bpf_attr) -> io::Result<OwnedFd> {
    let fd = bpf(command, attr)?;
    // SAFETY: the kernel has just given us this descriptor.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

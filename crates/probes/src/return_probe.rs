//! Whether a return probe would kill a process that a seccomp filter watches over.
//!
//! Since Linux 6.11 a probed function on x86-64 returns by way of system call 335, `uretprobe`. A
//! filter that does not know it refuses it, which ends the program. Later kernels, and stable ones
//! since, do not show it to filters. Version numbers do not tell which kernel has that, so a child of
//! ours tries it out: it installs a filter that answers this one call, makes the call, and is killed
//! by the kernel, as it is no probed function, if the filter was not asked.
#![allow(
    unsafe_code,
    reason = "a child is forked that makes system calls no library wraps"
)]

use std::io;

use anyhow::{Context as _, bail};
use procfs::process::Process;

use crate::discover::processes::Pid;

/// `uretprobe(2)` of x86-64, which no header names yet.
const SYS_URETPROBE: u32 = 335;
/// What our filter answers: no error that a kernel would give.
const FILTERED: i32 = 99;
/// The child could not install the filter.
const NO_FILTER: i32 = 98;

/// How functions under return probes return.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ReturnPath {
    /// By a trap, which is no system call.
    Trap,
    /// By a system call that filters are asked about.
    FilteredCall,
    /// By a system call that filters are not asked about.
    FreeCall,
}

/// An error if a return probe would, or could, kill the process.
pub fn check(pid: Pid) -> anyhow::Result<()> {
    if !cfg!(target_arch = "x86_64") || !has_filter(pid)? {
        return Ok(());
    }
    let path = return_path().context("cannot try out system call 335 (uretprobe) in a child")?;
    if path == ReturnPath::FilteredCall {
        bail!(
            "process {pid} runs under a seccomp filter, and on this kernel functions that are timed \
             return by system call 335 (uretprobe), which such a filter may answer by killing the \
             process; run it without the filter, or on a kernel that exempts the call (6.14 does), \
             or trace without a function"
        );
    }
    Ok(())
}

/// Whether any thread of a process has a filter, or is in strict mode.
fn has_filter(pid: Pid) -> anyhow::Result<bool> {
    let threads = Process::new(pid)
        .and_then(|process| process.tasks())
        .with_context(|| format!("cannot read the threads of process {pid}"))?;
    // A thread that has ended meanwhile does not count.
    Ok(threads
        .flatten()
        .filter_map(|thread| thread.status().ok())
        .any(|status| status.seccomp.unwrap_or(0) != 0))
}

fn return_path() -> io::Result<ReturnPath> {
    let filtered = try_out(true)?;
    let unfiltered = try_out(false)?;
    judge(filtered, unfiltered)
}

/// How a child of ours has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ChildEnd {
    Exited(i32),
    Killed(i32),
}

fn judge(filtered: ChildEnd, unfiltered: ChildEnd) -> io::Result<ReturnPath> {
    match (filtered, unfiltered) {
        (_, ChildEnd::Exited(libc::ENOSYS)) => Ok(ReturnPath::Trap),
        (ChildEnd::Exited(NO_FILTER), _) => Err(io::Error::other("cannot install a filter")),
        (ChildEnd::Exited(FILTERED), _) => Ok(ReturnPath::FilteredCall),
        // The kernel kills who makes the call without being a probed function, or returns an error.
        _ => Ok(ReturnPath::FreeCall),
    }
}

/// Makes the call in a child, under a filter or not.
fn try_out(with_filter: bool) -> io::Result<ChildEnd> {
    // SAFETY: the child makes system calls alone, and ends.
    let child = unsafe { libc::fork() };
    if child == 0 {
        make_call(with_filter);
    }
    if child < 0 {
        return Err(io::Error::last_os_error());
    }
    let mut status = 0;
    loop {
        // SAFETY: `status` is a place for the answer.
        if unsafe { libc::waitpid(child, &raw mut status, 0) } == child {
            break;
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
    Ok(if libc::WIFSIGNALED(status) {
        ChildEnd::Killed(libc::WTERMSIG(status))
    } else {
        ChildEnd::Exited(libc::WEXITSTATUS(status))
    })
}

/// The child: ends with the error that the call returns, if it returns.
fn make_call(with_filter: bool) -> ! {
    // SAFETY: these calls take no pointers. Being killed on purpose is not to leave a core.
    unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 0) };
    if with_filter && !install_filter() {
        // SAFETY: it does not return.
        unsafe { libc::_exit(NO_FILTER) };
    }
    // SAFETY: the call takes no arguments.
    let result = unsafe { libc::syscall(libc::c_long::from(SYS_URETPROBE)) };
    let errno = if result < 0 {
        io::Error::last_os_error().raw_os_error().unwrap_or(0)
    } else {
        0
    };
    // SAFETY: it does not return.
    unsafe { libc::_exit(errno) }
}

/// Installs a filter that answers the one call with [`FILTERED`] and lets all others through.
fn install_filter() -> bool {
    // linux/bpf_common.h
    const LOAD: u16 = 0x20; // BPF_LD | BPF_W | BPF_ABS
    const JUMP_IF_EQUAL: u16 = 0x15; // BPF_JMP | BPF_JEQ | BPF_K
    const RETURN: u16 = 0x06; // BPF_RET | BPF_K
    let instruction = |code, jt, jf, k| libc::sock_filter { code, jt, jf, k };
    let mut filter = [
        // The number is the first field of `struct seccomp_data`.
        instruction(LOAD, 0, 0, 0),
        instruction(JUMP_IF_EQUAL, 0, 1, SYS_URETPROBE),
        instruction(
            RETURN,
            0,
            0,
            libc::SECCOMP_RET_ERRNO | FILTERED.cast_unsigned(),
        ),
        instruction(RETURN, 0, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let program = libc::sock_fprog {
        len: 4,
        filter: filter.as_mut_ptr(),
    };
    // SAFETY: the call takes no pointers.
    if unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) } != 0 {
        return false;
    }
    let mode = libc::c_ulong::from(libc::SECCOMP_MODE_FILTER);
    // SAFETY: the program and its instructions outlive the call, which copies them.
    unsafe { libc::prctl(libc::PR_SET_SECCOMP, mode, &raw const program) == 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_childrens_ends_decide() {
        let path = |filtered, unfiltered| judge(filtered, unfiltered).unwrap();
        let absent = ChildEnd::Exited(libc::ENOSYS);
        let killed = ChildEnd::Killed(libc::SIGILL);
        let filtered = ChildEnd::Exited(FILTERED);
        assert_eq!(path(filtered, absent), ReturnPath::Trap);
        assert_eq!(path(filtered, killed), ReturnPath::FilteredCall);
        assert_eq!(path(killed, killed), ReturnPath::FreeCall);
        let refused = ChildEnd::Exited(libc::ENXIO);
        assert_eq!(path(filtered, refused), ReturnPath::FilteredCall);
        assert_eq!(path(refused, refused), ReturnPath::FreeCall);
    }

    #[test]
    fn a_child_without_a_filter_is_no_answer() {
        let killed = ChildEnd::Killed(libc::SIGILL);
        assert!(judge(ChildEnd::Exited(NO_FILTER), killed).is_err());
    }

    #[test]
    fn trying_out_is_harmless_and_gives_the_same_answer_twice() {
        assert_eq!(return_path().unwrap(), return_path().unwrap());
    }
}

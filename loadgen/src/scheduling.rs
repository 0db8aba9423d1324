//! Leaving a core that is shared with the server to the server, as long as it has work.
#![allow(unsafe_code, reason = "sched_setscheduler(2)")]

use std::io;

/// Has this thread, and those that it starts, not interrupt others when it wakes up (`SCHED_BATCH`). No
/// privilege is needed. Returns whether it does so now: who started us with another policy than the usual one
/// has chosen, and keeps it.
///
/// On a shared core each response wakes the client, and the kernel would have it preempt the server in the
/// middle of its work: at 32 connections half of all responses were taken one by one, at two task switches each.
/// With this the server answers what it has, and then the client takes all of it. On a core of its own the
/// client is woken as before.
pub fn let_others_finish() -> io::Result<bool> {
    // SAFETY: no preconditions; 0 is this thread.
    let policy = unsafe { libc::sched_getscheduler(0) };
    if policy != libc::SCHED_OTHER {
        return Ok(policy == libc::SCHED_BATCH);
    }
    let parameters = libc::sched_param { sched_priority: 0 };
    // SAFETY: the pointer is to a value of ours; 0 is this thread.
    match unsafe { libc::sched_setscheduler(0, libc::SCHED_BATCH, &raw const parameters) } {
        0 => Ok(true),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_inherit_it() {
        std::thread::spawn(|| {
            assert!(let_others_finish().unwrap());
            // SAFETY: no preconditions.
            let policy = || unsafe { libc::sched_getscheduler(0) };
            assert_eq!(policy(), libc::SCHED_BATCH);
            let child = std::thread::spawn(policy);
            assert_eq!(child.join().unwrap(), libc::SCHED_BATCH);
            assert!(let_others_finish().unwrap(), "it does so already");
        })
        .join()
        .unwrap();
    }
}

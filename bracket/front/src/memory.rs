//! The memory that is shared with the agent: see [`Shared`].
#![allow(
    unsafe_code,
    reason = "the memory is mapped, and looked at through a raw pointer"
)]

use core::sync::atomic::Ordering;

use abi::trial::Trial;
use abi::trial::shared::{Count, MAGIC, NAME, Shared, trial_text};
use preload::raw;

const SEALS: i32 = libc::F_SEAL_SHRINK | libc::F_SEAL_GROW;
/// Of a descriptor that nobody has asked for: programs take the lowest ones for theirs.
const LOWEST_DESCRIPTOR: i32 = 500;

/// Maps it, if that is what the descriptor is. It must be sealed: nobody can then cut it off under us.
pub fn map(fd: i32) -> Option<&'static Shared> {
    if raw::seals(fd)? & SEALS != SEALS {
        return None;
    }
    let shared = map_whole(fd)?;
    if shared.magic.load(Ordering::Relaxed) != MAGIC {
        // SAFETY: nobody keeps the reference.
        unsafe { raw::unmap((&raw const *shared).cast_mut().cast(), size_of::<Shared>()) };
        return None;
    }
    shared.count(Count::Processes);
    Some(shared)
}

/// Makes one, for an agent that comes and looks for it among our descriptors. Children of `fork` share it; a program that is
/// executed makes its own.
pub fn make(trial: &Trial) -> Option<&'static Shared> {
    let text = trial_text(trial)?;
    // The kernel ends who makes a file longer than it may (SIGXFSZ).
    if raw::longest_file()? < size_of::<Shared>() as u64 {
        return None;
    }
    let low = raw::memory_file(NAME)?;
    // There may be no such number (`ulimit -n`).
    let fd = raw::duplicate(low, LOWEST_DESCRIPTOR).unwrap_or(low);
    if fd != low {
        raw::close(low);
    }
    let made = fill(fd, &text);
    if made.is_none() {
        raw::close(fd);
    }
    made
}

/// Allocates all of it, as the program would be killed at the first access to a page that there is no memory for.
fn fill(fd: i32, text: &[u8]) -> Option<&'static Shared> {
    let is_whole = raw::allocate(fd, size_of::<Shared>());
    if !is_whole || !raw::seal(fd, SEALS | libc::F_SEAL_SEAL) {
        return None;
    }
    let shared = map_whole(fd)?;
    for (place, byte) in shared.trial.iter().zip(text) {
        place.store(*byte, Ordering::Relaxed);
    }
    shared.count(Count::Processes);
    shared.magic.store(MAGIC, Ordering::Release);
    Some(shared)
}

/// Maps a file that is as large as it should be.
fn map_whole(fd: i32) -> Option<&'static Shared> {
    if raw::file_size(fd)? != size_of::<Shared>() as u64 {
        return None;
    }
    let mapped = raw::map_shared(fd, size_of::<Shared>());
    if mapped.is_null() {
        return None;
    }
    // SAFETY: it is mapped for good, in whole, and aligned to a page; any bytes are valid atomic integers.
    Some(unsafe { &*mapped.cast::<Shared>() })
}

#[cfg(test)]
mod tests {
    use abi::trial::shared::trial_of;

    use super::*;

    #[test]
    fn what_is_made_is_sealed_and_tells_its_trial() {
        let trial = Trial::parse(b"seed=7 size=128 arms=off,on").unwrap();
        let made = make(&trial).unwrap();
        let text = made
            .trial
            .each_ref()
            .map(|byte| byte.load(Ordering::Relaxed));
        assert_eq!(trial_of(&text), Some(trial));
        assert_eq!(made.is_recording.load(Ordering::Relaxed), 0);
        let fds = std::fs::read_dir("/proc/self/fd").unwrap().flatten();
        let is_it = |fd: &std::fs::DirEntry| {
            std::fs::read_link(fd.path())
                .is_ok_and(|file| file.to_str() == Some("/memfd:hookprobe-records (deleted)"))
        };
        let fd = { fds }.find(is_it).unwrap();
        let fd: i32 = fd.file_name().to_str().unwrap().parse().unwrap();
        assert!(fd >= LOWEST_DESCRIPTOR);
        // It can be mapped by its number, as inherited memory is, and cannot be cut off.
        let again = map(fd).unwrap();
        assert_eq!(
            again.counts[Count::Processes as usize].load(Ordering::Relaxed),
            2
        );
        // SAFETY: no pointer is passed.
        assert_eq!(unsafe { libc::ftruncate(fd, 0) }, -1);
        raw::close(fd);
    }
}

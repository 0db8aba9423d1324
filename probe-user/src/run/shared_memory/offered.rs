//! Memory that front has made in a process, for whoever may look into it.
//!
//! The process is not trusted: it can show anything under the name. What is opened is first pinned without opening it
//! (`O_PATH`), as opening a device or a pipe has effects, and must be a file of the kernel's own memory file system.

use std::fs::{self, File};
use std::io;
use std::mem::offset_of;
use std::os::fd::{AsFd, AsRawFd as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;
use std::sync::OnceLock;

use abi::trial::calls::Slot;
use abi::trial::shared::{Count, MAGIC, RINGS, Shared, TRIAL_BYTES, trial_of};
use procfs::process::{MMapPath, Process};
use runlog::trial::RecordLedger;
use rustix::fs::{
    AtFlags, FileType, FlockOperation, MemfdFlags, Mode, OFlags, SealFlags, Statx, StatxFlags,
    fcntl_get_seals, flock, open, statx,
};

use super::{CHUNK, Followed, HEAD_WORDS, SharedMemory, listed_name, memory_file, read};

/// Descriptors of a process that are looked through. Front's has a low number among those of a busy server.
const MOST_DESCRIPTORS: usize = 1_024;

/// Why memory that a process offers is not read.
#[derive(Debug, thiserror::Error)]
pub enum Unusable {
    /// Another reader has it.
    #[error("another program reads its records (a second agent, or bench)")]
    Taken,
    /// It is no memory of front's, or of another version.
    #[error("what it offers as memory for records is none: {0}")]
    Foreign(&'static str),
    /// The kernel says no.
    #[error("cannot open its memory for records: {0}")]
    Io(#[from] io::Error),
}

/// Memory that a process offers, opened and checked. It is nobody's yet.
#[derive(Debug)]
pub struct Offer {
    file: File,
    /// Tells it from others: processes of one tree offer one memory.
    pub inode: u64,
}

impl Offer {
    /// That of a process; `None` if it offers none.
    pub fn of(pid: i32) -> Result<Option<Self>, Unusable> {
        match place(pid)? {
            Some(path) => Self::at(path).map(Some),
            None => Ok(None),
        }
    }

    fn at(path: PathBuf) -> Result<Self, Unusable> {
        let flags = OFlags::PATH | OFlags::CLOEXEC;
        let pinned = open(path, flags, Mode::empty()).map_err(io::Error::from)?;
        let status = status(&pinned)?;
        if device_of(&status) != device_of_memory_files()? {
            return Err(Unusable::Foreign("it is no memory file"));
        }
        if FileType::from_raw_mode(status.stx_mode.into()) != FileType::RegularFile
            || status.stx_size != size_of::<Shared>() as u64
        {
            return Err(Unusable::Foreign("its size is another"));
        }
        let path = format!("/proc/self/fd/{}", pinned.as_raw_fd());
        // Its owner may hold a lease (fcntl(2), F_SETLEASE), which an open waits for otherwise.
        let file = File::options()
            .read(true)
            .write(true)
            .custom_flags(libc::O_NONBLOCK)
            .open(path)?;
        let seals = fcntl_get_seals(&file).map_err(io::Error::from)?;
        // No seal can be added that keeps us from telling it to record, or not to.
        if !seals.contains(SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL) {
            return Err(Unusable::Foreign("its size is not sealed"));
        }
        Ok(Self {
            file,
            inode: status.stx_ino,
        })
    }

    /// Becomes its only reader. What was recorded before is not read.
    pub fn take(self) -> Result<SharedMemory, Unusable> {
        match flock(&self.file, FlockOperation::NonBlockingLockExclusive) {
            Err(rustix::io::Errno::WOULDBLOCK) => return Err(Unusable::Taken),
            locked => locked.map_err(io::Error::from)?,
        }
        let (mut magic, mut text) = (0_u64, [0_u8; TRIAL_BYTES]);
        read(&self.file, offset_of!(Shared, magic), &mut magic)?;
        read(&self.file, offset_of!(Shared, trial), &mut text)?;
        if magic != MAGIC {
            return Err(Unusable::Foreign("it is of another version"));
        }
        let trial = trial_of(&text).ok_or(Unusable::Foreign("it tells no trial"))?;
        let mut memory = SharedMemory {
            file: self.file,
            trial,
            rings: Default::default(),
            ledger: RecordLedger::default(),
            unrecordable_before: 0,
            // What is read here is added up, and fills no disk.
            most_records: u64::MAX,
            looks: [(); 2].map(|()| vec![Slot::default(); CHUNK]),
        };
        let mut heads = [[0_u64; HEAD_WORDS]; RINGS];
        read(&memory.file, offset_of!(Shared, heads), &mut heads)?;
        memory.rings = heads.map(|[head, ..]| Followed { next: head, head });
        memory.unrecordable_before = memory.count(Count::Unrecordable)?;
        Ok(memory)
    }
}

/// A path by which the memory of a process is reached. One that has closed the descriptor has it mapped still; the kernel's link to
/// that takes `CAP_CHECKPOINT_RESTORE` or `CAP_SYS_ADMIN`.
fn place(pid: i32) -> io::Result<Option<PathBuf>> {
    let name = listed_name();
    for entry in fs::read_dir(format!("/proc/{pid}/fd"))?.take(MOST_DESCRIPTORS) {
        let path = entry?.path();
        // It may be closed meanwhile.
        if fs::read_link(&path).is_ok_and(|file| file == name) {
            return Ok(Some(path));
        }
    }
    let maps = Process::new(pid).and_then(|process| process.maps());
    let maps = maps.map_err(io::Error::other)?;
    let name = MMapPath::Path(name);
    let mapped = maps.into_iter().find(|map| map.pathname == name);
    Ok(mapped.map(|map| {
        let (start, end) = map.address;
        PathBuf::from(format!("/proc/{pid}/map_files/{start:x}-{end:x}"))
    }))
}

/// Without asking who serves the file system: it may be a program of the process that is looked at, and not answer.
fn status(file: impl AsFd) -> io::Result<Statx> {
    let flags = AtFlags::EMPTY_PATH | AtFlags::STATX_DONT_SYNC;
    Ok(statx(file, c"", flags, StatxFlags::BASIC_STATS)?)
}

fn device_of(status: &Statx) -> (u32, u32) {
    (status.stx_dev_major, status.stx_dev_minor)
}

/// The device that all memory files are on.
fn device_of_memory_files() -> io::Result<(u32, u32)> {
    static DEVICE: OnceLock<(u32, u32)> = OnceLock::new();
    if let Some(device) = DEVICE.get() {
        return Ok(*device);
    }
    let own = memory_file(MemfdFlags::CLOEXEC)?;
    let device = device_of(&status(&own)?);
    Ok(*DEVICE.get_or_init(|| device))
}

#[cfg(test)]
mod tests;

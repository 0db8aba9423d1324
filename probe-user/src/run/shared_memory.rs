//! What a server in a trial records and counts, read as files are.
//!
//! The server maps this memory; we never do, and take no number from it as an index: nothing that is done to it there can
//! do us harm. The layout, and the protocol of its writers, are in [`abi::trial::shared`].

use std::fs::File;
use std::io;
use std::mem::offset_of;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::PathBuf;

use abi::trial::calls::{Call, Slot, complete};
use abi::trial::shared::{ArmCount, Count, MAGIC, NAME, RINGS, Ring, SLOTS, Shared, trial_text};
use abi::trial::{MAX_ARMS, Trial};
use procfs::process::{MMapPath, Process};
use runlog::trial::{ArmCounts, RecordLedger, ServerCounts};
use rustix::fs::{
    FallocateFlags, FlockOperation, MemfdFlags, SealFlags, fallocate, fcntl_add_seals, flock,
    memfd_create,
};
use zerocopy::{FromBytes, IntoBytes};

mod offered;

pub use offered::{Offer, Unusable};

/// Slots that are read at once.
const CHUNK: usize = 1_024;
/// The most records by which a ring is taken to be ahead of where it was, however many its head says.
const MOST_AHEAD: u64 = 1 << 32;
/// Records that are taken from one server: 800 MB of rows. A server that makes them up must not fill our disk and memory.
const MOST_RECORDS: u64 = 1 << 24;
/// How many records are begun after one that is not completed until it is given up. Its writer may be asleep.
const PATIENCE: u64 = SLOTS as u64 / 2;

/// The memory of one server.
#[derive(Debug)]
pub struct SharedMemory {
    file: File,
    trial: Trial,
    rings: [Followed; RINGS],
    ledger: RecordLedger,
    /// Calls that had not been recorded before we came.
    unrecordable_before: u64,
    /// So many records are read; later ones count as overwritten.
    most_records: u64,
    /// What slots are read into.
    looks: [Vec<Slot>; 2],
}

/// How far a ring was followed.
#[derive(Clone, Copy, Debug, Default)]
struct Followed {
    /// Number of the record that is to be read next.
    next: u64,
    /// Number of the record that is to be begun next, as far as we believe it.
    head: u64,
}

/// Whether a server may still be writing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Writers {
    /// It may.
    Alive,
    /// It has ended: what is not complete will never be.
    Gone,
}

/// What two looks at a slot have found.
enum Found {
    /// The record, whole.
    Whole(Call),
    /// A later record.
    Later,
    /// Nothing yet, or a part.
    Unfinished,
}

/// Not executable: kernels that insist on it (`vm.memfd_noexec`) know the flag, and old ones do not.
fn memory_file(flags: MemfdFlags) -> io::Result<OwnedFd> {
    let file = memfd_create(NAME, flags | MemfdFlags::NOEXEC_SEAL);
    Ok(file.or_else(|_| memfd_create(NAME, flags))?)
}

impl SharedMemory {
    /// Makes one, which nobody can cut off.
    pub fn create(trial: &Trial) -> io::Result<Self> {
        let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
        let file = File::from(memory_file(flags)?);
        // All of it now: where memory is short, the server would be killed at its first access to a page.
        fallocate(
            &file,
            FallocateFlags::empty(),
            0,
            size_of::<Shared>() as u64,
        )?;
        let text = trial_text(trial).ok_or(io::ErrorKind::InvalidInput)?;
        file.write_all_at(&text, offset_of!(Shared, trial) as u64)?;
        file.write_all_at(&MAGIC.to_ne_bytes(), offset_of!(Shared, magic) as u64)?;
        fcntl_add_seals(&file, SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL)?;
        // No agent takes it.
        flock(&file, FlockOperation::NonBlockingLockExclusive)?;
        Ok(Self {
            file,
            trial: *trial,
            rings: Default::default(),
            ledger: RecordLedger::default(),
            unrecordable_before: 0,
            most_records: MOST_RECORDS,
            looks: [(); 2].map(|()| vec![Slot::default(); CHUNK]),
        })
    }

    /// A descriptor of it, for the server. It is opened anew: what a server does to its own, as to have all writes append,
    /// is nothing that ours knows of.
    pub fn descriptor(&self) -> io::Result<OwnedFd> {
        let path = format!("/proc/self/fd/{}", self.file.as_raw_fd());
        Ok(File::options().read(true).write(true).open(path)?.into())
    }

    /// Whether a process has it mapped.
    pub fn is_mapped_by(&self, pid: i32) -> anyhow::Result<bool> {
        let inode = self.file.metadata()?.ino();
        let path = MMapPath::Path(listed_name());
        let mut maps = Process::new(pid)?.maps()?.into_iter();
        Ok(maps.any(|map| map.inode == inode && map.pathname == path))
    }

    /// Has calls recorded from now on, or no longer.
    pub fn set_recording(&self, is_recording: bool) -> io::Result<()> {
        let word = u64::from(is_recording).to_ne_bytes();
        let place = offset_of!(Shared, is_recording) as u64;
        self.file.write_all_at(&word, place)
    }

    /// How the arms are drawn.
    pub fn trial(&self) -> &Trial {
        &self.trial
    }

    /// Where the records have gone since we came.
    pub fn ledger(&self) -> io::Result<RecordLedger> {
        let unrecordable = self.count(Count::Unrecordable)?;
        Ok(RecordLedger {
            unrecordable: unrecordable.saturating_sub(self.unrecordable_before),
            ..self.ledger
        })
    }

    /// Takes the calls that were recorded since it was asked last.
    pub fn drain(
        &mut self,
        writers: Writers,
        mut take: impl FnMut(Call) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let mut heads = [[0_u64; HEAD_WORDS]; RINGS];
        read(&self.file, offset_of!(Shared, heads), &mut heads)?;
        for (ring, [head, ..]) in heads.into_iter().enumerate() {
            self.drain_ring(ring, head, writers, &mut take)?;
        }
        Ok(())
    }

    fn drain_ring(
        &mut self,
        ring: usize,
        head: u64,
        writers: Writers,
        take: &mut impl FnMut(Call) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        const SLOTS_IN_RING: u64 = SLOTS as u64;
        let Self {
            file,
            trial,
            rings,
            ledger,
            most_records,
            looks: [first, second],
            ..
        } = self;
        let Followed { next, head: known } = &mut rings[ring];
        let begun = head.saturating_sub(*known).min(MOST_AHEAD);
        *known += begun;
        ledger.begun += begun;
        let head = *known;
        let to_keep = if ledger.read < *most_records {
            SLOTS_IN_RING
        } else {
            0
        };
        let overwritten = head.saturating_sub(to_keep).saturating_sub(*next);
        *next += overwritten;
        ledger.overwritten += overwritten;

        while *next < head {
            let slot = usize::try_from(*next % SLOTS_IN_RING)?;
            let unread = usize::try_from(head - *next)?;
            let count = unread.min(SLOTS - slot).min(CHUNK);
            let place =
                offset_of!(Shared, rings) + ring * size_of::<Ring>() + slot * size_of::<Slot>();
            for slots in [&mut *first, &mut *second] {
                file.read_exact_at(slots[..count].as_mut_bytes(), place as u64)?;
            }
            for (first, second) in first[..count].iter().zip(&second[..count]) {
                let is_given_up = writers == Writers::Gone || head - *next > PATIENCE;
                match look(trial, first, second, *next) {
                    Found::Whole(call) => {
                        take(call)?;
                        ledger.read += 1;
                    }
                    Found::Later => ledger.overwritten += 1,
                    Found::Unfinished if is_given_up => ledger.torn += 1,
                    Found::Unfinished => return Ok(()),
                }
                *next += 1;
            }
        }
        Ok(())
    }

    /// What the server has counted, and where its records went.
    pub fn counts(&self) -> io::Result<ServerCounts> {
        let mut counts = [0_u64; Count::COUNT];
        read(&self.file, offset_of!(Shared, counts), &mut counts)?;
        let mut by_arm = [[0_u64; ArmCount::COUNT]; MAX_ARMS];
        read(&self.file, offset_of!(Shared, by_arm), &mut by_arm)?;
        let count = |count: Count| counts[count as usize];
        let arms = self.trial.arms().iter().zip(by_arm).map(|(arm, counts)| {
            let count = |count: ArmCount| counts[count as usize];
            let counts = ArmCounts {
                requests: count(ArmCount::Requests),
                calls: count(ArmCount::Calls),
                unreached: count(ArmCount::Unreached),
                bytes: count(ArmCount::Bytes),
            };
            (arm.to_string(), counts)
        });
        Ok(ServerCounts {
            processes: count(Count::Processes),
            connections: count(Count::Connections),
            first_requests: count(Count::FirstRequests),
            without_salt: count(Count::WithoutSalt),
            off_boundary: count(Count::OffBoundary),
            beyond_request: count(Count::BeyondRequest),
            arms: arms.collect(),
            records: RecordLedger {
                unrecordable: count(Count::Unrecordable),
                ..self.ledger
            },
        })
    }

    fn count(&self, count: Count) -> io::Result<u64> {
        let mut counts = [0_u64; Count::COUNT];
        read(&self.file, offset_of!(Shared, counts), &mut counts)?;
        Ok(counts[count as usize])
    }
}

fn read<T: FromBytes + IntoBytes + ?Sized>(
    file: &File,
    place: usize,
    into: &mut T,
) -> io::Result<()> {
    file.read_exact_at(into.as_mut_bytes(), place as u64)
}

/// What the memory is called where processes' descriptors and mappings are listed.
fn listed_name() -> PathBuf {
    format!("/memfd:{} (deleted)", NAME.to_string_lossy()).into()
}

/// Looks for the record with this number in what was read of its slot, one time and another.
fn look(trial: &Trial, first: &Slot, second: &Slot, number: u64) -> Found {
    let call = second.decode(number).filter(|_| first == second);
    match call.filter(|call| usize::from(call.arm) < trial.arms().len()) {
        Some(call) => Found::Whole(call),
        None if second.sequence > complete(number) => Found::Later,
        None => Found::Unfinished,
    }
}

/// Words of a head, of which the first is the number of the next record.
const HEAD_WORDS: usize = size_of::<abi::trial::shared::Head>() / size_of::<u64>();

#[cfg(test)]
mod tests;

use std::io::Write as _;
use std::os::unix::fs::FileExt as _;

use abi::trial::Trial;
use abi::trial::calls::Call;
use abi::trial::shared::trial_text;
use rustix::fs::fcntl_add_seals;

use zerocopy::IntoBytes as _;

use super::super::Writers;
use abi::trial::shared::NAME;
use rustix::fs::memfd_create;

use super::*;

const TRIAL: &[u8] = b"seed=1 size=128 arms=off,on";
const SEALED: SealFlags = SealFlags::SHRINK
    .union(SealFlags::GROW)
    .union(SealFlags::SEAL);

/// A memory as front makes it, but for what is changed.
fn made(bytes: u64, seals: SealFlags, magic: u64, text: &[u8]) -> File {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let file = File::from(memfd_create(NAME, flags).unwrap());
    file.set_len(bytes).unwrap();
    file.write_all_at(text, offset_of!(Shared, trial) as u64)
        .unwrap();
    file.write_all_at(&magic.to_ne_bytes(), 0).unwrap();
    fcntl_add_seals(&file, seals).unwrap();
    file
}

fn usual() -> File {
    let text = trial_text(&Trial::parse(TRIAL).unwrap()).unwrap();
    made(size_of::<Shared>() as u64, SEALED, MAGIC, &text)
}

fn at(file: &impl std::os::fd::AsRawFd) -> Result<SharedMemory, Unusable> {
    Offer::at(format!("/proc/self/fd/{}", file.as_raw_fd()).into())?.take()
}

fn why_not(file: &impl std::os::fd::AsRawFd) -> String {
    at(file).unwrap_err().to_string()
}

#[test]
fn what_was_recorded_before_is_left_to_who_read_it_then() {
    let file = usual();
    let record = |number: u64| {
        let call = Call {
            salt: number,
            ..Call::default()
        };
        let place =
            offset_of!(Shared, rings) + usize::try_from(number).unwrap() * size_of::<Slot>();
        let mut slot = call.encode(number);
        file.write_all_at(slot.as_mut_bytes(), place as u64)
            .unwrap();
        let head = offset_of!(Shared, heads) as u64;
        file.write_all_at(&(number + 1).to_ne_bytes(), head)
            .unwrap();
    };
    record(0);
    record(1);
    let mut memory = at(&file).unwrap();
    assert_eq!(
        memory.trial().to_string(),
        "seed=1 size=128 run=1 arms=off,on"
    );
    record(2);
    let mut salts = Vec::new();
    memory
        .drain(Writers::Alive, |call| {
            salts.push(call.salt);
            Ok(())
        })
        .unwrap();
    assert_eq!(salts, [2]);
    let ledger = memory.ledger().unwrap();
    assert_eq!((ledger.begun, ledger.read), (1, 1));
}

#[test]
fn one_reads_it_at_a_time() {
    let file = usual();
    let first = at(&file).unwrap();
    assert!(matches!(at(&file), Err(Unusable::Taken)));
    drop(first);
    assert!(at(&file).is_ok());
    // A bench's own is its own from the beginning.
    let own = SharedMemory::create(&Trial::parse(TRIAL).unwrap()).unwrap();
    assert!(matches!(at(&own.file), Err(Unusable::Taken)));
}

#[test]
fn what_is_no_memory_of_ours_is_not_read() {
    let bytes = size_of::<Shared>() as u64;
    let text = trial_text(&Trial::parse(TRIAL).unwrap()).unwrap();
    for missing in [SealFlags::SHRINK, SealFlags::GROW, SealFlags::SEAL] {
        let not_sealed = made(bytes, SEALED.difference(missing), MAGIC, &text);
        assert!(why_not(&not_sealed).contains("sealed"), "{missing:?}");
    }
    for other in [bytes - 1, bytes + 1, 1 << 40] {
        assert!(
            why_not(&made(other, SEALED, MAGIC, &text)).contains("size"),
            "{other}"
        );
    }
    assert!(why_not(&made(bytes, SEALED, MAGIC + 1, &text)).contains("version"));
    assert!(why_not(&made(bytes, SEALED, MAGIC, b"seed=1 arms=off,on")).contains("trial"));
    assert!(why_not(&made(bytes, SEALED, MAGIC, &[b'9'; TRIAL_BYTES])).contains("trial"));
    // It could never be told to record.
    let read_only = made(bytes, SEALED | SealFlags::WRITE, MAGIC, &text);
    assert!(at(&read_only).unwrap().set_recording(true).is_err());
}

#[test]
fn what_is_no_memory_file_is_not_opened() {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(&vec![0; size_of::<Shared>()]).unwrap();
    assert!(why_not(&file).contains("no memory file"));
    // To open either would wait for the other end.
    let (reader, writer) = io::pipe().unwrap();
    assert!(why_not(&reader).contains("no memory file"));
    assert!(why_not(&writer).contains("no memory file"));
    let device = File::open("/dev/zero").unwrap();
    assert!(why_not(&device).contains("no memory file"));
}

use super::*;

#[test]
fn records_that_were_gathered_come_one_behind_the_other() {
    let mut bytes = vec![0; size_of::<Write>() + size_of::<ReadSyscall>()];
    bytes[..4].copy_from_slice(&EVENT_WRITE.to_ne_bytes());
    bytes[size_of::<Write>()..][..4].copy_from_slice(&EVENT_READ_SYSCALL.to_ne_bytes());
    let Some((Record::Write(_), behind)) = parse(&bytes) else {
        panic!("not a write");
    };
    assert!(matches!(parse(behind), Some((Record::ReadSyscall(_), []))));
}

#[test]
fn a_record_of_a_hooked_read_may_be_of_its_syscall_too() {
    let parsed = |kind: u32| {
        let mut bytes = vec![0; size_of::<HookedRead>()];
        bytes[..4].copy_from_slice(&kind.to_ne_bytes());
        bytes[8..12].copy_from_slice(&71_u32.to_le_bytes());
        bytes[12..16].copy_from_slice(&70_u32.to_le_bytes());
        bytes[24..28].copy_from_slice(&(-2_i32).to_le_bytes());
        bytes[28..32].copy_from_slice(&200_u32.to_le_bytes());
        let Some((record @ Record::HookedRead(read), [])) = parse(&bytes) else {
            panic!("not a hooked read");
        };
        (record.spans(), read.read_syscall())
    };
    assert_eq!(parsed(EVENT_HOOKED_READ), (1, None));
    let (spans, syscall) = parsed(EVENT_HOOKED_READ_AND_SYSCALL);
    let expected = ReadSyscall {
        kind: EVENT_READ_SYSCALL,
        tgid: 70,
        tid: 71,
        fd: -2,
        ..ReadSyscall::default()
    };
    assert_eq!((spans, syscall), (2, Some(expected)));
}

#[test]
fn records_are_told_by_kind_and_size() {
    let mut bytes = vec![0; size_of::<Accepted>()];
    bytes[..4].copy_from_slice(&EVENT_ACCEPTED.to_ne_bytes());
    bytes[12..16].copy_from_slice(&7_i32.to_ne_bytes());
    let Some((Record::Accepted(accepted), [])) = parse(&bytes) else {
        panic!("not an accepted record");
    };
    assert_eq!(accepted.fd, 7);
    assert_eq!(parse(&bytes[..bytes.len() - 1]), None);
    assert_eq!(parse(&99_u32.to_ne_bytes()), None);
    assert_eq!(parse(&[1, 0]), None);
}

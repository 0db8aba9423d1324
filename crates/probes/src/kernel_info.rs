//! What the kernel counts of programs and links, by `bpf(2)`: aya has no accessors for it.
#![allow(
    unsafe_code,
    reason = "bpf(2) takes a union and raw pointers, and answers in another union"
)]

use std::collections::BTreeMap;
use std::io;
use std::mem;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd};

use aya_obj::generated::{
    bpf_cmd, bpf_link_info, bpf_link_type, bpf_perf_event_type, bpf_prog_info,
};

use crate::bpf::{address, bpf, bpf_fd, empty_attr};

/// What the kernel counts of a program.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProgramCounts {
    /// Runs, while `BPF_ENABLE_STATS` was in force.
    pub runs: u64,
    /// Time spent in them.
    pub run_time_ns: u64,
    /// Hits that were passed over, as the program was running on that CPU already. Counted always.
    pub recursion_misses: u64,
}

/// Reads the counts of a program.
pub fn program_counts(program: BorrowedFd<'_>) -> io::Result<ProgramCounts> {
    let info: bpf_prog_info = object_info(program)?;
    Ok(ProgramCounts {
        runs: info.run_cnt,
        run_time_ns: info.run_time_ns,
        recursion_misses: info.recursion_misses,
    })
}

/// Hits that the kprobes and kretprobes behind these programs have missed since they were attached, by program.
/// Kernels tell since 6.7.
pub fn kprobe_misses(programs: &[u32]) -> io::Result<BTreeMap<u32, u64>> {
    let mut misses: BTreeMap<u32, u64> = BTreeMap::new();
    let mut id = 0;
    while let Some(next) = next_link(id)? {
        id = next;
        // A link that is gone by now is not ours.
        let Ok(link) = link_by_id(id) else { continue };
        let info: bpf_link_info = object_info(link.as_fd())?;
        if programs.contains(&info.prog_id) {
            *misses.entry(info.prog_id).or_default() += misses_of(&info);
        }
    }
    Ok(misses)
}

fn misses_of(info: &bpf_link_info) -> u64 {
    if info.type_ != bpf_link_type::BPF_LINK_TYPE_PERF_EVENT as u32 {
        return 0;
    }
    // SAFETY: the type says which member the kernel has written.
    let event = unsafe { info.__bindgen_anon_1.perf_event };
    let kprobes = [
        bpf_perf_event_type::BPF_PERF_EVENT_KPROBE as u32,
        bpf_perf_event_type::BPF_PERF_EVENT_KRETPROBE as u32,
    ];
    if !kprobes.contains(&event.type_) {
        return 0;
    }
    // SAFETY: as above.
    unsafe { event.__bindgen_anon_1.kprobe }.missed
}

/// The link with the next higher number, if there is one.
fn next_link(id: u32) -> io::Result<Option<u32>> {
    let mut attr = empty_attr();
    attr.__bindgen_anon_6.__bindgen_anon_1.start_id = id;
    // SAFETY: the command takes no addresses.
    match unsafe { bpf(bpf_cmd::BPF_LINK_GET_NEXT_ID, &mut attr) } {
        // SAFETY: the kernel has written this member.
        Ok(_) => Ok(Some(unsafe { attr.__bindgen_anon_6.next_id })),
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(None),
        Err(error) => Err(error),
    }
}

fn link_by_id(id: u32) -> io::Result<OwnedFd> {
    let mut attr = empty_attr();
    attr.__bindgen_anon_6.__bindgen_anon_1.link_id = id;
    // SAFETY: the command takes no addresses.
    unsafe { bpf_fd(bpf_cmd::BPF_LINK_GET_FD_BY_ID, &mut attr) }
}

/// What the kernel tells of an object.
///
/// # Safety
/// All-zero bytes must be a value, and so must be whatever the kernel writes over them.
unsafe trait Info {}
// SAFETY: integers, and a union of structures of integers, as they are in the kernel's header.
unsafe impl Info for bpf_prog_info {}
// SAFETY: as above.
unsafe impl Info for bpf_link_info {}

/// Asks for it. An older kernel, which knows fewer fields, leaves the others zero.
fn object_info<T: Info>(object: BorrowedFd<'_>) -> io::Result<T> {
    // SAFETY: `Info` promises that all-zero bytes are a value.
    let mut info: T = unsafe { mem::zeroed() };
    let mut attr = empty_attr();
    attr.info.bpf_fd = object.as_raw_fd().cast_unsigned();
    attr.info.info_len = u32::try_from(size_of::<T>()).map_err(io::Error::other)?;
    attr.info.info = address(&raw mut info);
    // SAFETY: the kernel writes to `info`, at most as many bytes as it has.
    unsafe { bpf(bpf_cmd::BPF_OBJ_GET_INFO_BY_FD, &mut attr) }?;
    Ok(info)
}

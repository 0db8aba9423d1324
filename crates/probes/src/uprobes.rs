//! Programs of uprobes, loaded for the shorter of the kernel's two ways to run them.
//!
//! A uprobe of a perf event passes through the event's code to its programs, and each run is guarded by the
//! kind of RCU that lets programs sleep. Linux 6.6 has links from the uprobe right to the program
//! (`BPF_TRACE_UPROBE_MULTI`), without either. Such programs have to be loaded for it, which aya does not do,
//! so that is done here, with aya's own parser.
#![allow(unsafe_code, reason = "bpf(2) takes addresses")]

use std::collections::{BTreeMap, HashSet};
use std::ffi::{CStr, CString, c_char};
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt as _;

use anyhow::{Context as _, bail};
use aya::maps::{Map, MapData};
use aya::programs::UProbe;
use aya::{Ebpf, features};
use aya_obj::generated::{
    BPF_F_UPROBE_MULTI_RETURN, bpf_attach_type, bpf_cmd, bpf_insn, bpf_prog_type,
};
use aya_obj::{Function, Object};

use crate::bpf::{address, bpf_fd, empty_attr};
use crate::load;
use crate::pair::program;
use crate::perf::{self, Place, Uprobe};

/// How often to load a program again that a signal came in between of.
const TRIES: u32 = 20;

/// How the programs are attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// By links right to the programs.
    Link,
    /// By perf events.
    PerfEvent,
}

/// Loaded programs of uprobes, by name.
#[derive(Debug)]
pub struct UprobePrograms {
    way: Way,
    programs: BTreeMap<&'static str, OwnedFd>,
}

impl UprobePrograms {
    /// Loads programs of `ebpf`, which was made of `object`, and from which no map has been taken yet.
    pub fn load(
        ebpf: &mut Ebpf,
        object: &[u8],
        names: impl Iterator<Item = &'static str> + Clone,
    ) -> anyhow::Result<Self> {
        if has_links() {
            match load_for_links(ebpf, object, names.clone()) {
                Ok(programs) => {
                    let way = Way::Link;
                    return Ok(Self { way, programs });
                }
                // What is wrong with the programs themselves, the other way says better.
                Err(error) => log::info!("no uprobe links here: {error:#}"),
            }
        }
        let mut programs = BTreeMap::new();
        for name in names {
            let program: &mut UProbe = program(ebpf, name)?;
            load::load(|| Ok(program.load()?))?;
            programs.insert(name, program.fd()?.as_fd().try_clone_to_owned()?);
        }
        let way = Way::PerfEvent;
        Ok(Self { way, programs })
    }

    /// Attaches a program to a place, for every process that has mapped the file.
    pub fn attach(&self, name: &str, place: Place<'_>) -> anyhow::Result<Uprobe> {
        let program = self.programs.get(name);
        let program = program.with_context(|| format!("the program {name} is not loaded"))?;
        Ok(match self.way {
            Way::Link => Uprobe::new(link(program.as_fd(), place)?),
            Way::PerfEvent => perf::attach(program.as_fd(), place)?,
        })
    }

    /// How they are attached, in words.
    pub fn way(&self) -> &'static str {
        match self.way {
            Way::Link => "by links to the programs",
            Way::PerfEvent => "by perf events",
        }
    }

    /// The programs.
    pub fn iter(&self) -> impl Iterator<Item = (&str, BorrowedFd<'_>)> {
        self.programs.iter().map(|(name, fd)| (*name, fd.as_fd()))
    }
}

/// Whether the kernel has links of uprobes. It looks at the file before the program, and a folder is no
/// file to probe: EBADF says that it has got so far.
fn has_links() -> bool {
    let root = c"/";
    let offset = 0_u64;
    let no_program = -1;
    let error = create_link(no_program, root, &offset, None, 0).err();
    error.and_then(|error| error.raw_os_error()) == Some(libc::EBADF)
}

fn link(program: BorrowedFd<'_>, place: Place<'_>) -> io::Result<OwnedFd> {
    let path = CString::new(place.path.as_os_str().as_bytes())?;
    let flags = if place.is_return {
        BPF_F_UPROBE_MULTI_RETURN
    } else {
        0
    };
    let semaphore = place.semaphore_offset.as_ref();
    create_link(program.as_raw_fd(), &path, &place.offset, semaphore, flags)
}

fn create_link(
    program: RawFd,
    path: &CStr,
    offset: &u64,
    semaphore: Option<&u64>,
    flags: u32,
) -> io::Result<OwnedFd> {
    let mut attr = empty_attr();
    attr.link_create.__bindgen_anon_1.prog_fd = program.cast_unsigned();
    attr.link_create.attach_type = bpf_attach_type::BPF_TRACE_UPROBE_MULTI as u32;
    attr.link_create.__bindgen_anon_3.uprobe_multi.path = address(path.as_ptr());
    attr.link_create.__bindgen_anon_3.uprobe_multi.offsets = address(offset);
    attr.link_create
        .__bindgen_anon_3
        .uprobe_multi
        .ref_ctr_offsets = semaphore.map_or(0, |offset| address(offset));
    attr.link_create.__bindgen_anon_3.uprobe_multi.cnt = 1;
    attr.link_create.__bindgen_anon_3.uprobe_multi.flags = flags;
    // SAFETY: the kernel reads a C string and, once each, the two offsets.
    unsafe { bpf_fd(bpf_cmd::BPF_LINK_CREATE, &mut attr) }
}

/// Loads programs for links. Their maps are those of `ebpf`.
fn load_for_links(
    ebpf: &Ebpf,
    object: &[u8],
    names: impl Iterator<Item = &'static str>,
) -> anyhow::Result<BTreeMap<&'static str, OwnedFd>> {
    let mut object = Object::parse(object)?;
    let maps = std::mem::take(&mut object.maps);
    let descriptors: Vec<RawFd> = maps
        .keys()
        .map(|name| Ok(data_of(ebpf, name)?.fd().as_fd().as_raw_fd()))
        .collect::<anyhow::Result<_>>()?;
    let sections: HashSet<usize> = object
        .functions
        .keys()
        .map(|(section, _)| *section)
        .collect();
    let maps = maps.iter().zip(descriptors);
    object.relocate_maps(
        maps.map(|((name, map), fd)| (name.as_str(), fd, map)),
        &sections,
    )?;
    object.relocate_calls(&sections)?;
    object.sanitize_functions(features());
    names
        .map(|name| {
            let program = object.programs.get(name);
            let program = program.with_context(|| format!("the object has no program {name}"))?;
            let function = &object.functions[&program.function_key()];
            let fd = load_program(name, function, &program.license)
                .with_context(|| format!("cannot load {name}"))?;
            Ok((name, fd))
        })
        .collect()
}

/// A map that the agent has not taken out.
fn data_of<'e>(ebpf: &'e Ebpf, name: &str) -> anyhow::Result<&'e MapData> {
    match ebpf.map(name) {
        Some(
            Map::Array(data)
            | Map::PerCpuArray(data)
            | Map::HashMap(data)
            | Map::ProgramArray(data)
            | Map::PerfEventArray(data)
            | Map::RingBuf(data),
        ) => Ok(data),
        Some(_) => bail!("the map {name} is of a type that no program of ours has"),
        None => bail!("no map {name}"),
    }
}

fn load_program(name: &str, function: &Function, license: &CStr) -> io::Result<OwnedFd> {
    let instructions: &[bpf_insn] = &function.instructions;
    let mut attr = empty_attr();
    attr.__bindgen_anon_3.prog_type = bpf_prog_type::BPF_PROG_TYPE_KPROBE as u32;
    attr.__bindgen_anon_3.expected_attach_type = bpf_attach_type::BPF_TRACE_UPROBE_MULTI as u32;
    attr.__bindgen_anon_3.insns = address(instructions.as_ptr());
    attr.__bindgen_anon_3.insn_cnt = u32::try_from(instructions.len()).map_err(io::Error::other)?;
    attr.__bindgen_anon_3.license = address(license.as_ptr());
    attr.__bindgen_anon_3.prog_name = short_name(name);
    // SAFETY: the kernel reads as many instructions as said, and a C string.
    let mut load = || unsafe { bpf_fd(bpf_cmd::BPF_PROG_LOAD, &mut attr) };
    for _ in 1..TRIES {
        match load() {
            // A signal: see `load::load`.
            Err(error) if error.raw_os_error() == Some(libc::EAGAIN) => {}
            result => return result,
        }
    }
    load()
}

/// A name for the kernel's lists, which have room for 15 bytes and a 0.
fn short_name(name: &str) -> [c_char; 16] {
    let mut short = [0; 16];
    for (to, from) in short.iter_mut().take(15).zip(name.bytes()) {
        *to = c_char::from_ne_bytes([from]);
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_end_with_a_zero() {
        let bytes = |name| short_name(name).map(|byte| byte.to_ne_bytes()[0]);
        assert_eq!(&bytes("closed"), b"closed\0\0\0\0\0\0\0\0\0\0");
        assert_eq!(&bytes("a_name_of_20_letters"), b"a_name_of_20_le\0");
    }
}

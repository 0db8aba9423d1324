//! Making calls cold: other data and other code take the place of the hook's in caches and branch
//! predictors, and the hook's memory is flushed.
#![allow(
    unsafe_code,
    reason = "flushing a cache line takes an instruction that the compiler cannot check"
)]

use std::fs;
use std::ops::Range;
use std::path::Path;

use anyhow::Context as _;
use procfs::process::{MMPermissions, MMapPath, Process};

use crate::run::micro::varied;
use verdict::micro_blocks::{Ready, Temperature};

/// Size of a cache line on all machines that we know of.
const LINE: usize = 64;
/// Taken for the L2 cache where the kernel does not say how large it is.
const UNKNOWN_L2_BYTES: u64 = 2 * 1024 * 1024;
/// Nothing is gained by walking further.
const MOST_BYTES: u64 = 64 * 1024 * 1024;

/// Evicts.
#[derive(Debug)]
pub struct Evictor {
    l2_bytes: Option<u64>,
    data: Vec<u64>,
    hook: Vec<Range<usize>>,
    state: u64,
}

impl Evictor {
    /// One for the hook that is loaded from `library`.
    pub fn new(library: &Path) -> anyhow::Result<Self> {
        let l2_bytes = l2_bytes();
        let walked = (2 * l2_bytes.unwrap_or(UNKNOWN_L2_BYTES)).min(MOST_BYTES);
        let words = usize::try_from(walked).unwrap_or(0) / size_of::<u64>();
        Ok(Self {
            l2_bytes,
            // Not zeros: those could all be one page.
            data: (0..words as u64).collect(),
            hook: memory_of(library)?,
            state: 1,
        })
    }

    /// What it does, in figures.
    pub fn describe(&self) -> Ready {
        let flushed: usize = self.hook.iter().map(ExactSizeIterator::len).sum();
        Ready {
            l2_bytes: self.l2_bytes,
            walked_bytes: (self.data.len() * size_of::<u64>()) as u64,
            functions: varied::functions(),
            flushed_bytes: CAN_FLUSH.then_some(flushed as u64),
        }
    }

    /// Does what a temperature takes.
    pub fn evict(&mut self, temperature: Temperature) {
        if temperature == Temperature::Hot {
            return;
        }
        if temperature == Temperature::Flushed {
            for range in &self.hook {
                flush(range);
            }
        }
        let step = LINE / size_of::<u64>();
        for word in self.data.iter_mut().step_by(step) {
            // Written, as a line that was only read is cheaper to drop.
            *word = word.wrapping_add(self.state);
        }
        self.state = varied::run(self.state ^ self.data[0]);
    }
}

/// Size of the L2 cache of this CPU.
fn l2_bytes() -> Option<u64> {
    let cpu = rustix::thread::sched_getcpu();
    let caches = fs::read_dir(format!("/sys/devices/system/cpu/cpu{cpu}/cache")).ok()?;
    caches.flatten().find_map(|cache| {
        let read = |file: &str| fs::read_to_string(cache.path().join(file)).ok();
        let level = read("level")?;
        (level.trim() == "2")
            .then(|| parse_size(read("size")?.trim()))
            .flatten()
    })
}

/// A size as the kernel writes it, as in `2048K`.
fn parse_size(text: &str) -> Option<u64> {
    let (number, factor) = match text.as_bytes().last()? {
        b'K' => (&text[..text.len() - 1], 1024),
        b'M' => (&text[..text.len() - 1], 1024 * 1024),
        _ => (text, 1),
    };
    number.parse::<u64>().ok()?.checked_mul(factor)
}

/// The memory that a loaded library takes: code, tables, variables, also those that are not in its
/// file.
fn memory_of(library: &Path) -> anyhow::Result<Vec<Range<usize>>> {
    let maps = Process::myself()
        .and_then(|process| process.maps())
        .context("cannot read what is mapped")?;
    let mut ranges = Vec::new();
    let mut end_of_library = 0;
    for map in maps {
        let is_file = matches!(&map.pathname, MMapPath::Path(path) if path == library);
        // Variables that start as zeros follow the file's without a gap.
        let follows =
            matches!(map.pathname, MMapPath::Anonymous) && map.address.0 == end_of_library;
        if !is_file && !follows {
            continue;
        }
        end_of_library = map.address.1;
        if map.perms.contains(MMPermissions::READ) {
            let address = |address: u64| usize::try_from(address).context("an address");
            ranges.push(address(map.address.0)?..address(map.address.1)?);
        }
    }
    Ok(ranges)
}

#[cfg(target_arch = "x86_64")]
const CAN_FLUSH: bool = true;
#[cfg(not(target_arch = "x86_64"))]
const CAN_FLUSH: bool = false;

/// Flushes every line of a range that is mapped and readable.
#[cfg(target_arch = "x86_64")]
fn flush(range: &Range<usize>) {
    for line in range.clone().step_by(LINE) {
        let line = std::ptr::with_exposed_provenance::<u8>(line);
        // SAFETY: like a load, it takes a readable address, and changes no memory. Libraries stay mapped.
        unsafe { std::arch::x86_64::_mm_clflush(line) };
    }
    // SAFETY: has no preconditions. Later loads are to find the lines gone.
    unsafe { std::arch::x86_64::_mm_mfence() };
}

#[cfg(not(target_arch = "x86_64"))]
fn flush(_: &Range<usize>) {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_the_kernel_writes_them() {
        assert_eq!(parse_size("2048K"), Some(2 << 20));
        assert_eq!(parse_size("32M"), Some(32 << 20));
        assert_eq!(parse_size("512"), Some(512));
        assert_eq!(parse_size("K"), None);
        assert_eq!(parse_size(""), None);
    }

    #[test]
    fn the_memory_of_a_library_holds_its_code_and_variables() {
        let maps = Process::myself().unwrap().maps().unwrap();
        let code = libc::getpid as *const () as usize;
        let library = maps
            .into_iter()
            .find(|map| (map.address.0..map.address.1).contains(&(code as u64)))
            .and_then(|map| match map.pathname {
                MMapPath::Path(path) => Some(path),
                _ => None,
            })
            .unwrap();
        let mut evictor = Evictor::new(&library).unwrap();
        assert!(evictor.hook.iter().any(|range| range.contains(&code)));
        let ready = evictor.describe();
        assert!(ready.walked_bytes >= 2 * ready.l2_bytes.unwrap_or(0).min(MOST_BYTES / 2));
        let before = evictor.state;
        evictor.evict(Temperature::Hot);
        assert_eq!(evictor.state, before);
        evictor.evict(Temperature::Flushed);
        assert_ne!(evictor.state, before);
    }
}

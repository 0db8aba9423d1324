//! The probe sites of a hook in a running process.

use std::path::PathBuf;

use crate::discover::elf::{Elf, UsdtSite};
use crate::discover::mapped::mapped_code;
use crate::discover::processes::Pid;

/// Provider of the hook's USDT notes.
pub const PROVIDER: &str = "readhook";

/// A hook that a process has loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoadedHook {
    /// The library, as the process sees it.
    pub path: PathBuf,
    /// A path by which we reach it.
    pub reachable: PathBuf,
    /// Its probe sites.
    pub sites: Vec<UsdtSite>,
}

/// The hook in a process: the first mapped file with notes of [`PROVIDER`], whatever it is called.
pub fn loaded_hook(pid: Pid) -> anyhow::Result<Option<LoadedHook>> {
    for file in mapped_code(pid)? {
        // Files that are no ELF, or are gone, carry no sites.
        let Ok(elf) = Elf::open(&file.reachable) else {
            continue;
        };
        let sites = elf.usdt_sites(PROVIDER)?;
        if !sites.is_empty() {
            return Ok(Some(LoadedHook {
                path: file.path,
                reachable: file.reachable,
                sites,
            }));
        }
    }
    Ok(None)
}

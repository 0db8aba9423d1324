//! The probe sites of a hook in a running process.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use crate::discover::elf::{Elf, ElfError, UsdtSite};
use crate::discover::mapped::mapped_code;
use crate::discover::processes::Pid;

/// Provider of the hook's USDT notes.
pub const PROVIDER: &str = "readhook";
/// Defined by what stands in front of a hook in a trial. Its sites fire for every call, those of the hook behind it for
/// some.
const FRONT: &str = "hookprobe_front";

/// A hook that a process has loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoadedHook {
    /// The library, as the process sees it.
    pub path: PathBuf,
    /// A path by which we reach it.
    pub reachable: PathBuf,
    /// Its probe sites.
    pub sites: Vec<UsdtSite>,
    /// Whether it is what stands in front of a hook.
    pub is_front: bool,
}

impl LoadedHook {
    /// The library, as results name it.
    pub fn name(&self) -> String {
        self.path.display().to_string()
    }
}

/// The hook in a process: the mapped file with notes of [`PROVIDER`], whatever it is called; of several what stands in
/// front, or else the first. A file that may be one and cannot be looked into is said.
pub fn loaded_hook(pid: Pid) -> anyhow::Result<Option<LoadedHook>> {
    match Sites::default().look_for_hook(pid)? {
        HookSearch::Hook(hook) => Ok(Some(hook)),
        HookSearch::None => Ok(None),
        HookSearch::Hidden(file) => {
            log::warn!("no hook was found in process {pid}, but {}", hidden(&file));
            Ok(None)
        }
    }
}

/// What there is to say of a file that cannot be looked into.
pub fn hidden(file: &Path) -> String {
    format!(
        "{} may be one: what it has mapped is no longer the file of that name, and following /proc/PID/map_files takes \
         CAP_CHECKPOINT_RESTORE or CAP_SYS_ADMIN",
        file.display()
    )
}

/// What looking for a hook has come to.
#[derive(Debug)]
pub enum HookSearch {
    /// There it is.
    Hook(LoadedHook),
    /// There is none.
    None,
    /// None was found, and this file could not be looked into, as we may not.
    Hidden(PathBuf),
}

/// Files that are remembered. Then all are forgotten.
const REMEMBERED: usize = 4_096;
/// The largest file that is looked into.
const MAX_FILE: u64 = 1 << 30;

/// The sites in files that were looked into: for who asks again and again.
#[derive(Debug, Default)]
pub struct Sites {
    known: HashMap<Version, InFile>,
}

/// What a file has.
#[derive(Clone, Debug, Default)]
struct InFile {
    sites: Vec<UsdtSite>,
    /// Whether it defines [`FRONT`].
    is_front: bool,
}

/// What tells a file, and one state of it, from others.
type Version = (u64, u64, u64, i64, i64);

impl Sites {
    /// The hook in a process.
    pub fn look_for_hook(&mut self, pid: Pid) -> anyhow::Result<HookSearch> {
        let mut found = HookSearch::None;
        for file in mapped_code(pid)? {
            match fs::metadata(&file.reachable) {
                Err(error) if error.kind() == ErrorKind::PermissionDenied => {
                    if matches!(found, HookSearch::None) {
                        found = HookSearch::Hidden(file.path);
                    }
                    continue;
                }
                _ => {}
            }
            let InFile { sites, is_front } = self.in_file(&file.reachable)?;
            let is_found = matches!(found, HookSearch::Hook(_));
            if !sites.is_empty() && (is_front || !is_found) {
                found = HookSearch::Hook(LoadedHook {
                    sites,
                    path: file.path,
                    reachable: file.reachable,
                    is_front,
                });
            }
            if is_front {
                break;
            }
        }
        Ok(found)
    }

    fn in_file(&mut self, path: &Path) -> anyhow::Result<InFile> {
        // Files that are no ELF, or are gone, carry no sites.
        let Ok(file) = fs::metadata(path) else {
            return Ok(InFile::default());
        };
        if file.len() > MAX_FILE {
            return Ok(InFile::default());
        }
        let version = (
            file.dev(),
            file.ino(),
            file.len(),
            file.ctime(),
            file.ctime_nsec(),
        );
        if self.known.len() >= REMEMBERED {
            self.known.clear();
        }
        match self.known.entry(version) {
            Entry::Occupied(known) => Ok(known.get().clone()),
            Entry::Vacant(unknown) => {
                let in_file = match Elf::open(path) {
                    Ok(elf) => InFile {
                        sites: elf.usdt_sites(PROVIDER)?,
                        is_front: elf.defines(FRONT)?,
                    },
                    Err(ElfError::NotElf { .. }) => InFile::default(),
                    Err(ElfError::Io { .. }) => return Ok(InFile::default()), // not to be remembered
                };
                Ok(unknown.insert(in_file).clone())
            }
        }
    }
}

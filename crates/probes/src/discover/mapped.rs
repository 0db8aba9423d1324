//! The files that a process has mapped.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use procfs::process::{MMPermissions, MMapPath, Process};

/// A file of which a process has mapped code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MappedFile {
    /// Its path as the process sees it.
    pub path: PathBuf,
    /// A path by which this process reaches the very file that is mapped, also when the target
    /// lives in another mount namespace, and when the file was replaced or deleted since.
    pub reachable: PathBuf,
}

/// The files of which process `pid` has mapped code, in the order of their addresses.
pub fn mapped_code(pid: i32) -> anyhow::Result<Vec<MappedFile>> {
    let maps = Process::new(pid)
        .and_then(|process| process.maps())
        .with_context(|| format!("cannot read what process {pid} has mapped"))?;
    let mut files: Vec<MappedFile> = Vec::new();
    for map in maps {
        let MMapPath::Path(path) = map.pathname else {
            continue;
        };
        // A file that was replaced since, as by an upgrade of its package, is still called so.
        let path = match path
            .to_str()
            .and_then(|path| path.strip_suffix(" (deleted)"))
        {
            Some(kept) => PathBuf::from(kept),
            None => path,
        };
        if !map.perms.contains(MMPermissions::EXECUTE) || files.iter().any(|f| f.path == path) {
            continue;
        }
        let reachable = reachable(pid, map.address, &path, map.inode);
        files.push(MappedFile { path, reachable });
    }
    Ok(files)
}

/// The file behind a mapping. The kernel's link to it is right whatever has become of its name, and takes
/// `CAP_CHECKPOINT_RESTORE` or `CAP_SYS_ADMIN` (`proc_pid_map_files(5)`); without, the name has to do while the file of that name still has the same number.
fn reachable(pid: i32, (start, end): (u64, u64), path: &Path, inode: u64) -> PathBuf {
    let link = PathBuf::from(format!("/proc/{pid}/map_files/{start:x}-{end:x}"));
    if fs::metadata(&link).is_err() {
        let named = PathBuf::from(format!("/proc/{pid}/root{}", path.display()));
        if fs::metadata(&named).is_ok_and(|file| file.ino() == inode) {
            return named;
        }
    }
    link
}

/// The mapped file that `library` means: a path, as the process sees it or as we do, or the start of a file name ("libc"
/// and "libc.so.6" both mean `/lib/x86_64-linux-gnu/libc.so.6`).
pub fn find_library(pid: i32, library: &Path) -> anyhow::Result<MappedFile> {
    let files = mapped_code(pid)?;
    let wanted = library.to_string_lossy();
    let is_path = library.components().count() > 1;
    // Mappings are known by full paths without links.
    let resolved = is_path.then(|| fs::canonicalize(library).ok()).flatten();
    let is_meant = |file: &&MappedFile| {
        let name = file.path.file_name().unwrap_or_default().to_string_lossy();
        file.path == library
            || resolved.as_ref() == Some(&file.path)
            || name == wanted
            || name
                .strip_prefix(wanted.as_ref())
                .is_some_and(|rest| rest.starts_with(['.', '-']))
    };
    if let Some(file) = files.iter().find(is_meant) {
        return Ok(file.clone());
    }
    let mapped: Vec<_> = files
        .iter()
        .map(|file| file.path.display().to_string())
        .collect();
    bail!(
        "process {pid} has not mapped \"{wanted}\"{}; it has mapped {}",
        if mapped.len() == 1 {
            " (it looks statically linked)"
        } else {
            ""
        },
        mapped.join(", ")
    )
}

#[cfg(test)]
mod tests;

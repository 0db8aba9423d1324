//! The guests' file system: init, programs, and the C library for them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{BufWriter, Cursor};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use cpio::newc;

use crate::command::{command, output};
use crate::vm::architecture::Architecture;

const FOLDER: u32 = 0o040_755;
const PROGRAM: u32 = 0o100_755;

/// What a guest is to find.
#[derive(Clone, Copy, Debug)]
pub struct Contents<'c> {
    /// Its init.
    pub init: &'c Path,
    /// Programs, for `/bin`.
    pub programs: &'c [PathBuf],
    /// The command that init runs.
    pub command: &'c [&'c str],
}

/// Writes an initramfs.
pub fn write(
    path: &Path,
    architecture: Architecture,
    contents: &Contents<'_>,
) -> anyhow::Result<()> {
    let mut files = BTreeMap::from([
        ("init".to_owned(), read(contents.init)?),
        (
            "command".to_owned(),
            contents.command.join("\n").into_bytes(),
        ),
    ]);
    for program in contents.programs {
        let name = program.file_name().unwrap_or_default().to_string_lossy();
        files.insert(format!("bin/{name}"), read(program)?);
    }
    for (place, library) in libraries(architecture, contents.programs)? {
        files.insert(place, read(&library)?);
    }
    write_archive(path, files).with_context(|| format!("cannot write {}", path.display()))
}

fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}

/// The shared libraries of the programs, by their place in the guest. The C compiler of the programs'
/// architecture knows where they are; the dynamic linker has a place of its own, and finds the others in
/// `/lib`.
fn libraries(
    architecture: Architecture,
    programs: &[PathBuf],
) -> anyhow::Result<BTreeMap<String, PathBuf>> {
    let mut libraries = BTreeMap::new();
    let mut to_read = programs.to_vec();
    while let Some(file) = to_read.pop() {
        let shown = output(command("readelf").args(["--wide", "-d", "-l"]).arg(&file))?;
        let shown = String::from_utf8_lossy(&shown.stdout);
        for place in mentioned(&shown) {
            let place = place.trim_start_matches('/').to_owned();
            if libraries.contains_key(&place) {
                continue;
            }
            let name = place.rsplit('/').next().unwrap_or(&place);
            let library = find_library(architecture, name)?;
            to_read.push(library.clone());
            libraries.insert(place, library);
        }
    }
    Ok(libraries)
}

/// The places of the libraries that readelf's output mentions.
fn mentioned(shown: &str) -> Vec<String> {
    let between = |line: &str, before: &str| -> Option<String> {
        let (_, rest) = line.split_once(before)?;
        rest.split_once(']').map(|(name, _)| name.to_owned())
    };
    shown
        .lines()
        .filter_map(|line| {
            between(line, "Requesting program interpreter: ").or_else(|| {
                let name = between(line, "Shared library: [")?;
                // The dynamic linker is needed by name too, and has its place already.
                (!name.starts_with("ld-linux")).then(|| format!("/lib/{name}"))
            })
        })
        .collect()
}

fn find_library(architecture: Architecture, name: &str) -> anyhow::Result<PathBuf> {
    let compiler = architecture.c_compiler();
    let found = output(command(compiler).arg(format!("-print-file-name={name}")))?;
    let found = String::from_utf8(found.stdout).context("path of a library")?;
    // What it does not find, it names as it was asked.
    let path = PathBuf::from(found.trim());
    path.canonicalize()
        .ok()
        .filter(|_| path.is_absolute())
        .with_context(|| format!("{compiler} does not find {name}"))
}

/// Writes files and the folders that they are in.
fn write_archive(path: &Path, files: BTreeMap<String, Vec<u8>>) -> std::io::Result<()> {
    let mut folders: BTreeSet<String> = ["dev", "proc", "sys", "tmp"].map(str::to_owned).into();
    for name in files.keys() {
        let parents = Path::new(name).ancestors().skip(1);
        folders.extend(parents.map(|parent| parent.to_string_lossy().into_owned()));
    }
    folders.remove("");
    // Sorted, so that each folder comes before what is in it.
    let entries = folders
        .into_iter()
        .map(|name| (name, FOLDER, Vec::new()))
        .chain(
            files
                .into_iter()
                .map(|(name, bytes)| (name, PROGRAM, bytes)),
        );
    let inputs = (1..).zip(entries).map(|(inode, (name, mode, bytes))| {
        (
            newc::Builder::new(&name).ino(inode).mode(mode).nlink(1),
            Cursor::new(bytes),
        )
    });
    let out = BufWriter::new(File::create(path)?);
    cpio::write_cpio(inputs, out)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_are_found_in_readelfs_words() {
        let shown = "\
  INTERP         0x000350 0x00350 0x00350 0x00001c 0x00001c R   0x1
      [Requesting program interpreter: /lib64/ld-linux-x86-64.so.2]
  LOAD           0x000000 0x00000 0x00000 0x0123c8 0x0123c8 R   0x1000
 0x0000000000000001 (NEEDED)             Shared library: [libgcc_s.so.1]
 0x0000000000000001 (NEEDED)             Shared library: [ld-linux-x86-64.so.2]
 0x000000000000000e (SONAME)             Library soname: [libreadhook.so]
";
        let expected = ["/lib64/ld-linux-x86-64.so.2", "/lib/libgcc_s.so.1"];
        assert_eq!(mentioned(shown), expected);
    }
}

//! The guests' file system: init, our programs, and the host's C library for them.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{BufWriter, Cursor};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use cpio::newc;

use crate::command::{command, output, release, target};

const FOLDER: u32 = 0o040_755;
const PROGRAM: u32 = 0o100_755;

/// Writes an initramfs whose init runs `arguments`.
pub fn build(init: &Path, arguments: &[&str]) -> anyhow::Result<PathBuf> {
    let programs = ["probe-user", "loadgen", "sut", "readhook.so"].map(|name| release().join(name));
    let mut files: Vec<(String, Vec<u8>)> = vec![
        ("init".to_owned(), read(init)?),
        ("command".to_owned(), arguments.join("\n").into_bytes()),
    ];
    for program in &programs {
        let name = program.file_name().unwrap_or_default().to_string_lossy();
        files.push((format!("bin/{name}"), read(program)?));
    }
    for library in libraries(&programs)? {
        let inside = library.trim_start_matches('/').to_owned();
        files.push((inside, read(Path::new(&library))?));
    }
    let path = target().join("vm/initramfs.cpio");
    fs::create_dir_all(path.parent().unwrap_or(Path::new(".")))?;
    write(&path, files).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(path)
}

fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}

/// The shared libraries of the programs, the dynamic linker among them, as ldd finds them.
fn libraries(programs: &[PathBuf]) -> anyhow::Result<BTreeSet<String>> {
    let mut libraries = BTreeSet::new();
    for program in programs {
        let listed = output(command("ldd").arg(program))?;
        for line in String::from_utf8_lossy(&listed.stdout).lines() {
            // "libc.so.6 => /lib/… (0x…)" or "/lib64/ld-linux… (0x…)"
            if let Some(path) = line.split_whitespace().find(|word| word.starts_with('/')) {
                libraries.insert(path.to_owned());
            }
        }
    }
    Ok(libraries)
}

/// Writes files and the folders that they are in.
fn write(path: &Path, files: Vec<(String, Vec<u8>)>) -> std::io::Result<()> {
    let mut folders = BTreeSet::new();
    for (name, _) in &files {
        let parents = Path::new(name).ancestors().skip(1);
        folders.extend(parents.map(|parent| parent.to_string_lossy().into_owned()));
    }
    folders.remove("");
    folders.extend([
        "dev".to_owned(),
        "proc".to_owned(),
        "sys".to_owned(),
        "tmp".to_owned(),
    ]);
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

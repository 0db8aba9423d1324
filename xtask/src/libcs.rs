//! C libraries other than this machine's, which the hook's one file is tested under: Debian's packages, fetched
//! once and kept.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use crate::apt::{self, Suite};
use crate::command::target;
use crate::setup;

/// A C library.
struct Library {
    /// The folder that it is kept in, where the tests look for it.
    name: &'static str,
    /// The label of Debian's repository that has it.
    label: &'static str,
    /// The suite there. The libraries of older releases stay in their security suites when the releases
    /// themselves have been archived.
    suite: &'static str,
    /// The package.
    package: &'static str,
}

const LIBRARIES: [Library; 3] = [
    Library {
        name: "glibc-2.31",
        label: "Debian-Security",
        suite: "bullseye-security",
        package: "libc6",
    },
    Library {
        name: "glibc-2.41",
        label: "Debian",
        suite: "trixie",
        package: "libc6",
    },
    Library {
        name: "musl-1.2",
        label: "Debian",
        suite: "bookworm",
        package: "musl",
    },
];

/// Fetches those that are missing. Where that cannot be done, the tests of that library are skipped by name, or
/// this fails if they must run.
pub fn fetch(must_run: bool) -> anyhow::Result<()> {
    if std::env::consts::ARCH != "x86_64" {
        return Ok(());
    }
    for library in &LIBRARIES {
        let fetched = fetch_one(library).with_context(|| format!("cannot fetch {}", library.name));
        setup::tolerate(fetched, must_run)?;
    }
    Ok(())
}

fn fetch_one(library: &Library) -> anyhow::Result<()> {
    let folder = target().join("libcs");
    let kept = folder.join(library.name);
    if kept.is_dir() {
        return Ok(());
    }
    let root = folder.join(format!("{}.apt", library.name));
    let suite = Suite {
        label: library.label,
        name: library.suite,
        architecture: "amd64",
    };
    apt::fetch(suite, &[library.package], &root, |_, unpacked| {
        // Only the folder of the libraries, and whole or not at all.
        let libraries =
            folder_of(unpacked, &["libc.so.6", "libc.so"])?.context("it has no C library")?;
        Ok(fs::rename(&libraries, &kept)?)
    })
}

/// The folder that has a file of one of these names.
fn folder_of(folder: &Path, names: &[&str]) -> anyhow::Result<Option<PathBuf>> {
    if names.iter().any(|name| folder.join(name).is_file()) {
        return Ok(Some(folder.to_owned()));
    }
    let entries =
        fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    for entry in entries {
        let entry = entry?;
        if entry.file_type()?.is_dir()
            && let Some(found) = folder_of(&entry.path(), names)?
        {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

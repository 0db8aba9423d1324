//! The programs that a run starts. They are installed side by side.

use std::env;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};

/// The load generator.
pub fn loadgen() -> anyhow::Result<PathBuf> {
    beside_us(&["loadgen"])
}

/// The server.
pub fn sut() -> anyhow::Result<PathBuf> {
    beside_us(&["sut"])
}

/// The hook. Cargo prefixes libraries with "lib"; installed, it is called `readhook.so`.
pub fn hook() -> anyhow::Result<PathBuf> {
    beside_us(&["readhook.so", "libreadhook.so"])
}

/// The library in front of a hook in a trial.
pub fn front() -> anyhow::Result<PathBuf> {
    beside_us(&["front.so", "libfront.so"])
}

/// The library behind it.
pub fn back() -> anyhow::Result<PathBuf> {
    beside_us(&["back.so", "libback.so"])
}

fn beside_us(names: &[&str]) -> anyhow::Result<PathBuf> {
    let us = env::current_exe().context("cannot find this program's own path")?;
    let folder = us.parent().unwrap_or(Path::new("."));
    for name in names {
        let path = folder.join(name);
        if path.is_file() {
            return Ok(path);
        }
    }
    bail!(
        "there is no {} in {}; `cargo xtask build` builds it",
        names[0],
        folder.display()
    )
}

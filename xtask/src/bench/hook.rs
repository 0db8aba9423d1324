//! What the hook is measured beside.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};

use crate::bench::{has, install};
use crate::command::{Stages, cargo, command, is_installed, root, run, target};

/// What it takes beside ours, and the Debian packages that have it.
const COMPILER: (&str, &str) = ("cc", "gcc");
const TRACER: (&str, &str) = ("bpftrace", "bpftrace");
const COUNTER: (&str, &str) = ("valgrind", "valgrind");

/// Installs and builds what the hook is measured beside; returns the bench's words, with these.
pub fn with_peers(words: &[OsString], stages: &mut Stages) -> anyhow::Result<Vec<OsString>> {
    let counts = has(words, "--instructions");
    stages.run("peers", || {
        install(&[COMPILER, if counts { COUNTER } else { TRACER }]);
        Ok(())
    })?;
    let peer = stages.run("build of the paper's hook", build_peer)?;
    let mut words = words.to_vec();
    words.extend(["--peer".into(), peer.into()]);
    if counts {
        ensure!(
            is_installed(COUNTER.0),
            "--instructions needs valgrind, which cannot be installed here"
        );
        let siteless = stages.run("build of the hook without sites", build_without_sites)?;
        words.extend(["--without-sites".into(), siteless.into()]);
    }
    Ok(words)
}

/// Compiles the paper's hook, into a folder that nothing is shipped from.
fn build_peer() -> anyhow::Result<PathBuf> {
    let folder = target().join("peers");
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let library = folder.join("paper_hook.so");
    let keywords = root().join("hook/keywords.txt");
    let source = root().join("hook/peers/paper_hook.c");
    ensure!(
        is_installed(COMPILER.0),
        "a C compiler is needed for the paper's hook, and cannot be installed here"
    );
    run(command(COMPILER.0)
        .args(["-O2", "-shared", "-fPIC", "-o"])
        .arg(&library)
        .arg(format!("-DKEYWORDS=\"{}\"", keywords.display()))
        .arg(&source)
        .arg("-ldl"))?;
    Ok(library)
}

/// Builds our hook with the probe sites left out, beside the real one.
fn build_without_sites() -> anyhow::Result<PathBuf> {
    let folder: PathBuf = target().join("hook-without-sites");
    run(cargo()
        .arg("build")
        .args(["--profile", "hook", "--package", "readhook"])
        .args(["--features", "without-sites"])
        .env("CARGO_TARGET_DIR", &folder))?;
    Ok(Path::new(&folder).join("hook/libreadhook.so"))
}

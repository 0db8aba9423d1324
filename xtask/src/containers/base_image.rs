//! The image that the Dockerfile begins with, made from Debian's packages.

use std::fs::{self, File};
use std::path::PathBuf;

use anyhow::Context as _;

use crate::apt::mirror;
use crate::command::run;
use crate::containers::engine::{Engine, printed};
use crate::containers::{folder, packages};
use crate::privilege::as_root;

/// What the Dockerfile calls it.
const NAME: &str = "debian:bookworm-slim";
/// The release that it is.
const SUITE: &str = "bookworm";

fn archive() -> PathBuf {
    folder().join("debian.tar")
}

/// Makes the archive of its files, if there is none yet.
pub fn fetch() -> anyhow::Result<()> {
    if archive().is_file() {
        return Ok(());
    }
    eprintln!("making {NAME} from Debian's packages (about a minute)");
    let root = folder().join("debian");
    // From a run that was killed. Its files are root's.
    remove(&root)?;
    let debootstrap = packages::unpacked("debootstrap");
    let result = run(as_root("env")
        .arg(format!(
            "DEBOOTSTRAP_DIR={}",
            debootstrap.join("usr/share/debootstrap").display()
        ))
        // It mounts /proc there; in a namespace of its own that is gone when it ends, however it ends.
        .args(["unshare", "--mount", "sh"])
        .arg(debootstrap.join("usr/sbin/debootstrap"))
        .args(["--variant=minbase", SUITE])
        .arg(&root)
        .arg(mirror("Debian")?)
        .stdout(std::process::Stdio::null()))
    .and_then(|()| {
        let unfinished = archive().with_extension("part");
        run(as_root("tar")
            // Lists and archives of packages are half of it, and out of date when they are needed.
            .args([
                "--exclude=./var/cache/apt/*",
                "--exclude=./var/lib/apt/lists/*",
            ])
            .arg("-C")
            .arg(&root)
            .args(["-c", "."])
            .stdout(File::create(&unfinished)?))?;
        fs::rename(&unfinished, archive())?;
        Ok(())
    });
    remove(&root)?;
    result.context("cannot make the base image")
}

fn remove(root: &PathBuf) -> anyhow::Result<()> {
    run(as_root("rm").args(["-rf", "--one-file-system"]).arg(root))
}

/// Hands the archive to the engine, unless it has the image.
pub fn import(engine: &Engine) -> anyhow::Result<()> {
    let known = printed(engine.docker().args(["image", "ls", "--quiet", NAME]))?;
    if !known.is_empty() {
        return Ok(());
    }
    run(engine
        .docker()
        .args(["import", "--change", "CMD [\"bash\"]", "-", NAME])
        .stdin(File::open(archive())?)
        .stdout(std::process::Stdio::null()))
}

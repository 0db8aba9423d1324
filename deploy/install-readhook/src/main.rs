//! `install-readhook`: copies the hook's library, and those of the bracket, into a folder that servers' containers share.
//!
//! The only program of the image `hookprobe/readhook`: that has no shell and no `cp`, so nothing in it but this file
//! and the library can be out of date, and the library need not fit a C library of the image's. Linked statically.
//!
//! A server that starts meanwhile must not see half a library, and one that runs has it mapped: so the copy gets its
//! name when it is complete, and takes the place of an older one rather than to be written over it. A copy that is
//! equal stays: servers that started before and after then share one file, which a tracer attaches to once.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use tempfile::NamedTempFile;

/// Where the image has it.
const LIBRARY: &str = "/readhook.so";
/// What the image has beside it.
const BRACKET: [&str; 2] = ["front.so", "back.so"];

const HELP: &str = "\
Copies the hook's library into a folder, as readhook.so, with front.so and back.so where these are beside it

Usage: install-readhook FOLDER [LIBRARY]

  FOLDER   a folder that the servers' containers have mounted, too
  LIBRARY  the file to copy [default: /readhook.so]

Example:
  docker run --rm -v hook:/opt/hook hookprobe/readhook:dev /opt/hook";

fn main() -> ExitCode {
    match run(std::env::args_os().skip(1).map(PathBuf::from).collect()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("install-readhook: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: Vec<PathBuf>) -> anyhow::Result<()> {
    let mut arguments = arguments.into_iter();
    let folder = match arguments.next() {
        Some(word) if word == Path::new("--help") || word == Path::new("-h") => {
            println!("{HELP}");
            return Ok(());
        }
        Some(folder) => folder,
        None => bail!("which folder? --help says more"),
    };
    let library = arguments.next().unwrap_or_else(|| LIBRARY.into());
    if let Some(word) = arguments.next() {
        bail!("\"{}\" is one word too many", word.display());
    }
    let bracket = BRACKET.map(|name| (library.with_file_name(name), name));
    let bracket = bracket.into_iter().filter(|(file, _)| file.is_file());
    for (file, name) in [(library.clone(), "readhook.so")]
        .into_iter()
        .chain(bracket)
    {
        let installed = folder.join(name);
        let done = install(&file, &installed)?;
        println!("install-readhook: {} {done}", installed.display());
    }
    Ok(())
}

/// Copies a library to a path; returns what was done.
fn install(library: &Path, installed: &Path) -> anyhow::Result<&'static str> {
    let ours = fs::read(library).with_context(|| format!("cannot read {}", library.display()))?;
    if fs::read(installed).is_ok_and(|theirs| theirs == ours) {
        return Ok("is there already");
    }
    let folder = installed.parent().unwrap_or(Path::new("."));
    let cannot = || format!("cannot write to {}", folder.display());
    let mut copy = NamedTempFile::new_in(folder).with_context(cannot)?;
    io::copy(&mut ours.as_slice(), copy.as_file_mut()).with_context(cannot)?;
    // Servers run as other users.
    let readable = Permissions::from_mode(0o644);
    copy.as_file()
        .set_permissions(readable)
        .with_context(cannot)?;
    copy.persist(installed)
        .with_context(|| format!("cannot replace {}", installed.display()))?;
    Ok("is installed")
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::unix::fs::MetadataExt as _;

    use super::*;

    #[test]
    fn an_older_copy_is_replaced_and_an_equal_one_stays() {
        let folder = tempfile::tempdir().unwrap();
        let (library, installed) = (folder.path().join("new"), folder.path().join("readhook.so"));
        fs::write(&library, "new").unwrap();
        fs::write(&installed, "old").unwrap();
        let old = File::open(&installed).unwrap();

        install(&library, &installed).unwrap();
        let replaced = fs::metadata(&installed).unwrap();
        assert_eq!(fs::read_to_string(&installed).unwrap(), "new");
        assert_eq!(replaced.mode() & 0o777, 0o644);
        // Who had it open keeps what was there.
        assert_eq!(io::read_to_string(old).unwrap(), "old");

        install(&library, &installed).unwrap();
        assert_eq!(fs::metadata(&installed).unwrap().ino(), replaced.ino());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2, "no rests");
    }

    #[test]
    fn the_bracket_is_installed_where_it_is_beside_the_hook() {
        let folders = [(); 3].map(|()| tempfile::tempdir().unwrap());
        let [image, bare, shared] = folders.each_ref().map(|folder| folder.path().to_owned());
        for (folder, names) in [
            (&image, &["readhook.so", "front.so", "back.so"][..]),
            (&bare, &["hook.so"]),
        ] {
            for name in names {
                fs::write(folder.join(name), name).unwrap();
            }
        }
        run(vec![shared.clone(), image.join("readhook.so")]).unwrap();
        for name in ["readhook.so", "front.so", "back.so"] {
            assert_eq!(fs::read_to_string(shared.join(name)).unwrap(), name);
        }
        run(vec![shared.clone(), bare.join("hook.so")]).unwrap();
        let hook = fs::read_to_string(shared.join("readhook.so")).unwrap();
        assert_eq!(hook, "hook.so");
    }

    #[test]
    fn what_is_wrong_is_named() {
        let error = |words: &[&str]| {
            let words = words.iter().map(PathBuf::from).collect();
            format!("{:#}", run(words).unwrap_err())
        };
        assert!(error(&[]).contains("which folder"));
        assert!(error(&["/a", "/b", "/c"]).contains("\"/c\" is one word too many"));
        assert!(error(&["/a", "/nonexistent"]).contains("cannot read /nonexistent"));
        assert!(error(&["/nonexistent", "Cargo.toml"]).contains("cannot write to /nonexistent"));
    }
}

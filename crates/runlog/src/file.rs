//! Making files in a folder that someone else may write to.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;

/// Makes a file, in place of whatever had its name. Never writes through a link: an agent that runs
/// as root writes into folders of users.
///
/// # Errors
/// Those of the operating system.
pub fn create(path: &Path) -> io::Result<File> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    File::create_new(path)
}

/// Writes a whole file, in place of whatever had its name. It is complete or as it was before: the bytes go to a
/// file beside it first.
///
/// # Errors
/// Those of the operating system.
pub fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut name = path.file_name().map_or_else(OsString::new, OsString::from);
    name.push(".part");
    let temporary = path.with_file_name(name);
    let written = create(&temporary)
        .and_then(|mut file| file.write_all(bytes))
        .and_then(|()| fs::rename(&temporary, path));
    if written.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whole_file_is_replaced_or_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("report.html");
        for text in ["first", "second"] {
            replace(&path, text.as_bytes()).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }
        let in_the_way = folder.path().join("folder");
        fs::create_dir(&in_the_way).unwrap();
        assert!(replace(&in_the_way, b"text").is_err());
        assert_eq!(
            fs::read_dir(folder.path()).unwrap().count(),
            2,
            "nothing beside"
        );
    }

    #[test]
    fn a_link_is_replaced_and_what_it_points_at_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let precious = folder.path().join("precious");
        fs::write(&precious, "kept").unwrap();
        let link = folder.path().join("log");
        std::os::unix::fs::symlink(&precious, &link).unwrap();
        for text in ["first", "second"] {
            create(&link).unwrap().write_all(text.as_bytes()).unwrap();
            assert_eq!(fs::read_to_string(&link).unwrap(), text);
        }
        assert_eq!(fs::read_to_string(&precious).unwrap(), "kept");
    }
}

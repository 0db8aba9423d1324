//! Making files in a folder that someone else may write to.

use std::fs::{self, File};
use std::io;
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

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

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

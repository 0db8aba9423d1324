//! The list of words in use: the paper's 200, or the file that `READHOOK_KEYWORDS` names.
#![allow(
    unsafe_code,
    reason = "the tables of a custom list are filled once, in place, while the program loads"
)]

use core::cell::UnsafeCell;
use core::ffi::CStr;
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use preload::{errno, next};

use crate::scan::{Prepared, Problem, Scanner};

/// The 200 words of the paper's hook; `KEYWORDS.md` says where they come from.
pub const DEFAULT_TEXT: &[u8] = include_bytes!("../keywords.txt");

/// The default list, prepared when this library was compiled.
pub static DEFAULT: Prepared<200, 512> = {
    let mut tables = Prepared::new();
    match tables.fill(DEFAULT_TEXT) {
        Ok(()) => tables,
        Err(_) => panic!("keywords.txt is not a usable list"),
    }
};

const CUSTOM_WORDS: usize = 4_096;
const CUSTOM_BYTES: usize = 64 * 1024;

/// Room for a list given at load time. It lies in zeroed memory that nobody touches until then.
struct Custom {
    tables: UnsafeCell<Prepared<CUSTOM_WORDS, { 2 * CUSTOM_WORDS }>>,
    text: UnsafeCell<[u8; CUSTOM_BYTES]>,
}

// SAFETY: written by `load` alone, in the constructor, before `IN_USE` is raised with release
// order; read only after `IN_USE` was seen raised with acquire order, and never written again.
unsafe impl Sync for Custom {}

static CUSTOM: Custom = Custom {
    tables: UnsafeCell::new(Prepared::new()),
    text: UnsafeCell::new([0; CUSTOM_BYTES]),
};
static IN_USE: AtomicBool = AtomicBool::new(false);
static CUSTOM_LENGTH: AtomicUsize = AtomicUsize::new(0);

/// Why the file that `READHOOK_KEYWORDS` names was not taken.
#[derive(Debug, PartialEq, Eq)]
pub enum LoadError {
    /// It cannot be opened or read; the `errno`.
    Unreadable(i32),
    /// It is longer than 64 KiB.
    TooLong,
    /// Its words cannot be used.
    Words(Problem),
}

/// The scanner over the list in use.
#[inline]
pub fn scanner() -> Scanner<'static> {
    if IN_USE.load(Ordering::Acquire) {
        // SAFETY: see `Custom`.
        let tables = unsafe { &*CUSTOM.tables.get() };
        // SAFETY: see `Custom`.
        let text = unsafe { &*CUSTOM.text.get() };
        tables.scanner(&text[..CUSTOM_LENGTH.load(Ordering::Relaxed)])
    } else {
        DEFAULT.scanner(DEFAULT_TEXT)
    }
}

/// Puts the list in the file at `path` in use. Called once, from the constructor.
pub fn load(path: &CStr) -> Result<(), LoadError> {
    // SAFETY: `IN_USE` is down, so nobody else holds a reference (see `Custom`).
    let text = unsafe { &mut *CUSTOM.text.get() };
    let length = read_file(path, text)?;
    // SAFETY: as above.
    let tables = unsafe { &mut *CUSTOM.tables.get() };
    tables.fill(&text[..length]).map_err(LoadError::Words)?;
    CUSTOM_LENGTH.store(length, Ordering::Relaxed);
    IN_USE.store(true, Ordering::Release);
    Ok(())
}

/// Reads a whole file that is shorter than `buffer`; returns its length.
fn read_file(path: &CStr, buffer: &mut [u8]) -> Result<usize, LoadError> {
    // SAFETY: `path` is a C string.
    let fd = unsafe { libc::open(path.as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC) };
    if fd < 0 {
        return Err(LoadError::Unreadable(errno::get()));
    }
    let mut length = 0;
    let result = loop {
        let rest = &mut buffer[length..];
        if rest.is_empty() {
            break Err(LoadError::TooLong);
        }
        // SAFETY: `rest` is writable for its length.
        let count = unsafe { next::READ.get()(fd, rest.as_mut_ptr().cast(), rest.len()) };
        match usize::try_from(count) {
            Ok(0) => break Ok(length),
            Ok(count) => length += count,
            Err(_) if errno::get() == libc::EINTR => {}
            Err(_) => break Err(LoadError::Unreadable(errno::get())),
        }
    };
    // SAFETY: `fd` was opened above and is closed once.
    unsafe { next::CLOSE.get()(fd) };
    result
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scan::Filter;

    #[test]
    fn a_file_becomes_the_list_and_bad_files_say_why() {
        let folder = std::env::temp_dir().join(format!("readhook-words-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let load_text = |text: &[u8]| {
            let path = folder.join("list");
            std::fs::write(&path, text).unwrap();
            load(&std::ffi::CString::new(path.to_str().unwrap()).unwrap())
        };
        assert_eq!(
            load(c"/nonexistent/list"),
            Err(LoadError::Unreadable(libc::ENOENT))
        );
        assert_eq!(load(c"/"), Err(LoadError::Unreadable(libc::EISDIR)));
        assert_eq!(load_text(b""), Err(LoadError::Words(Problem::Empty)));
        assert_eq!(
            load_text(&vec![b'x'; CUSTOM_BYTES]),
            Err(LoadError::TooLong)
        );
        assert_eq!(scanner().word(0), b".php", "the default stays in use");
        assert_eq!(load_text(b"one\ntwo\n"), Ok(()));
        assert_eq!(scanner().first_of_list(b"a two", Filter::Portable), Some(1));
        std::fs::remove_dir_all(folder).unwrap();
    }
}

//! The hook's scanner held against a naive search: for any bytes and any list it must find the word that one search a word finds,
//! and look at no byte beyond either end of the haystack.
//!
//! The scanner is the hook's own source files: the hook is a library for the dynamic linker alone, and Rust
//! programs cannot link it.

#[cfg(target_arch = "x86_64")]
#[allow(dead_code, reason = "not all of it is called here")]
#[path = "../../src/cpu.rs"]
mod cpu;
mod guarded;
#[allow(dead_code, reason = "not all of it is called here")]
#[path = "../../src/scan/mod.rs"]
mod scan;

use guarded::Guarded;
use scan::{Filter, Prepared, Problem, Scanner};

/// The longest word that a list may have, as the hook says to its users.
const MAX_WORD: usize = 255;

/// The hook's list.
const DEFAULT_TEXT: &[u8] = include_bytes!("../../keywords.txt");
static DEFAULT: Prepared<200, 512> = {
    let mut tables = Prepared::new();
    match tables.fill(DEFAULT_TEXT) {
        Ok(()) => tables,
        Err(_) => panic!("hook/keywords.txt is not a usable list"),
    }
};

/// Words that a list of the fuzzer's may have.
const CAPACITY: usize = 256;

/// One input of the fuzzer. The first byte chooses: an odd one takes the hook's list, and all the rest is
/// the haystack. After an even one come two bytes, the length of a list, then the list and the haystack.
///
/// # Panics
/// When the scanner and the naive search differ. A byte read beyond the haystack is a SIGSEGV.
pub fn check(input: &[u8]) {
    let Some((choice, rest)) = input.split_first() else {
        return;
    };
    if choice % 2 == 1 {
        compare(DEFAULT_TEXT, DEFAULT.scanner(DEFAULT_TEXT), rest);
        return;
    }
    let Some((length, rest)) = rest.split_first_chunk() else {
        return;
    };
    let length = usize::from(u16::from_le_bytes(*length)).min(rest.len());
    let (list, haystack) = rest.split_at(length);
    let mut tables = Prepared::<CAPACITY, { 2 * CAPACITY }>::new();
    let filled = tables.fill(list);
    assert_eq!(filled, usable(list), "list {list:?}");
    if filled.is_ok() {
        compare(list, tables.scanner(list), haystack);
    }
}

/// Holds both ways to scan against the naive search. They are one and the same on a processor without
/// vector instructions.
fn compare(list: &[u8], scanner: Scanner<'_>, haystack: &[u8]) {
    let expected = words(list)
        .position(|(_, word)| occurs(word, haystack))
        .and_then(|rank| u16::try_from(rank).ok());
    let filters = [Filter::Portable, Filter::fastest()];
    let found = Guarded::new(haystack)
        .each(|bytes| filters.map(|filter| scanner.first_of_list(bytes, filter)));
    assert_eq!(
        found, [[expected; 2]; 2],
        "{filters:?}, list {list:?}, haystack {haystack:?}"
    );
}

/// Whether a word is in the haystack, by the C library: nobody here has written that search.
fn occurs(word: &[u8], haystack: &[u8]) -> bool {
    let (start, length) = (word.as_ptr().cast(), word.len());
    // SAFETY: both are readable for their lengths.
    let found = unsafe { libc::memmem(haystack.as_ptr().cast(), haystack.len(), start, length) };
    !found.is_null()
}

/// What the scanner must say of a list.
fn usable(list: &[u8]) -> Result<(), Problem> {
    let mut count = 0;
    for (line, word) in words(list) {
        if word.len() > MAX_WORD {
            return Err(Problem::WordTooLong { line });
        }
        if count == CAPACITY {
            return Err(Problem::TooManyWords);
        }
        count += 1;
    }
    if count == 0 {
        return Err(Problem::Empty);
    }
    Ok(())
}

/// The words of a list, each with its line, as the documentation of `READHOOK_KEYWORDS` has it.
fn words(list: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    let list = list.strip_prefix(b"\xef\xbb\xbf").unwrap_or(list);
    (1..)
        .zip(list.split(|byte| *byte == b'\n'))
        .map(|(line, word)| (line, word.strip_suffix(b"\r").unwrap_or(word)))
        .filter(|(_, word)| !word.is_empty())
}

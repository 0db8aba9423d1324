//! The hook's scanner held against a naive search: for any bytes and any list it must find the same word,
//! and look at no byte beyond either end of the haystack.
//!
//! The scanner is the hook's own source file: the hook is a library for the dynamic linker alone, and Rust
//! programs cannot link it.

mod guarded;
#[allow(dead_code, reason = "not all of it is called here")]
#[path = "../../src/scan.rs"]
mod scan;

use guarded::Guarded;
use scan::{MAX_WORD, Prepared, Problem};

/// The hook's list.
const DEFAULT_TEXT: &[u8] = include_bytes!("../../../data/keywords.txt");
static DEFAULT: Prepared<200, 512> = {
    let mut tables = Prepared::new();
    match tables.fill(DEFAULT_TEXT) {
        Ok(()) => tables,
        Err(_) => panic!("data/keywords.txt is not a usable list"),
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
        let found = Guarded::new(rest)
            .each(|haystack| DEFAULT.scanner(DEFAULT_TEXT).first_of_list(haystack));
        compare(DEFAULT_TEXT, rest, &found);
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
        let found =
            Guarded::new(haystack).each(|haystack| tables.scanner(list).first_of_list(haystack));
        compare(list, haystack, &found);
    }
}

fn compare(list: &[u8], haystack: &[u8], found: &[Option<u16>]) {
    let expected = words(list)
        .position(|(_, word)| haystack.windows(word.len()).any(|window| window == word))
        .and_then(|rank| u16::try_from(rank).ok());
    for found in found {
        assert_eq!(*found, expected, "list {list:?}, haystack {haystack:?}");
    }
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
    (1..)
        .zip(list.split(|byte| *byte == b'\n'))
        .map(|(line, word)| (line, word.strip_suffix(b"\r").unwrap_or(word)))
        .filter(|(_, word)| !word.is_empty())
}

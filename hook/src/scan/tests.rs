//! Held against a naive search, and against the aho-corasick crate.
#![allow(unsafe_code, reason = "pages that must not be read come from mmap")]

use super::*;
use crate::words::{DEFAULT, DEFAULT_TEXT};

type Small = Prepared<64, 128>;

fn first(list: &str, haystack: &[u8]) -> Option<u16> {
    let mut tables = Small::new();
    tables.fill(list.as_bytes()).unwrap();
    find(&tables.scanner(list.as_bytes()), haystack)
}

/// What the scanner finds, by every filter that this machine has.
fn find(scanner: &Scanner<'_>, haystack: &[u8]) -> Option<u16> {
    let found = scanner.first_of_list(haystack, Filter::Portable);
    let fastest = scanner.first_of_list(haystack, Filter::fastest());
    assert_eq!(found, fastest, "{:?}", String::from_utf8_lossy(haystack));
    found
}

/// The definition, written as the paper's hook works: each word in list order.
fn naive(list: &[u8], haystack: &[u8]) -> Option<u16> {
    list.split(|byte| *byte == b'\n')
        .map(|line| line.strip_suffix(b"\r").unwrap_or(line))
        .filter(|line| !line.is_empty())
        .position(|word| haystack.windows(word.len()).any(|window| window == word))
        .map(|rank| u16::try_from(rank).unwrap())
}

#[test]
fn the_first_word_of_the_list_wins_wherever_it_stands() {
    assert_eq!(first("beta\nalpha\n", b"alpha beta"), Some(0));
    assert_eq!(first("beta\nalpha\n", b"alpha"), Some(1));
    assert_eq!(first("alphabet\nalpha\n", b"alphabe"), Some(1));
    assert_eq!(first("beta\nalpha\n", b"Alpha bet"), None);
}

#[test]
fn words_at_the_edges_and_over_the_end() {
    assert_eq!(first("abc", b"abc"), Some(0));
    assert_eq!(first("abc", b"xxabc"), Some(0));
    assert_eq!(first("abc", b"xxab"), None);
    assert_eq!(first("abc", b"a"), None);
    assert_eq!(first("abc", b""), None);
}

#[test]
fn words_of_one_byte_count() {
    assert_eq!(first("zz\nq\nr\n", b"..r.q"), Some(1));
    assert_eq!(first("zz\nq\n", b"qzz"), Some(0));
    assert_eq!(first("q", b"q"), Some(0));
}

#[test]
fn blank_lines_and_carriage_returns_are_no_words() {
    assert_eq!(first("\n\r\nabc\r\n\nxyz", b"xyz"), Some(1));
    let mut tables = Small::new();
    let list = b"\nabc\r\nxyz\n";
    tables.fill(list).unwrap();
    assert_eq!(tables.scanner(list).word(0), b"abc");
    assert_eq!(tables.scanner(list).word(1), b"xyz");
    assert_eq!(tables.scanner(list).word(2), b"");
}

#[test]
fn a_byte_order_mark_is_no_part_of_the_first_word() {
    assert_eq!(first("\u{feff}abc\nxyz", b"-abc-"), Some(0));
    assert_eq!(first("\u{feff}abc\nxyz", b"xyz"), Some(1));
}

#[test]
fn lists_that_cannot_be_used_are_refused() {
    let refused = |list: &[u8]| Small::new().fill(list).unwrap_err();
    assert_eq!(refused(b"\n\r\n"), Problem::Empty);
    let long = [b"ok\n".as_slice(), &[b'x'; MAX_WORD + 1]].concat();
    assert_eq!(refused(&long), Problem::WordTooLong { line: 2 });
    assert_eq!(refused(&b"ab\n".repeat(65)), Problem::TooManyWords);
    assert_eq!(Small::new().fill(&b"ab\n".repeat(64)), Ok(()));
}

#[test]
fn the_default_list_has_200_words_and_finds_each() {
    let scanner = DEFAULT.scanner(DEFAULT_TEXT);
    for rank in 0..200 {
        let word = scanner.word(rank);
        assert!(!word.is_empty());
        let padded = [b"\x01".as_slice(), word, b"\x01"].concat();
        assert_eq!(find(&scanner, &padded), naive(DEFAULT_TEXT, word));
    }
    assert!(scanner.word(200).is_empty());
}

/// A small generator is enough here: the bytes need to be varied, not random.
fn below(limit: usize, state: &mut u64) -> usize {
    *state = state
        .wrapping_mul(6_364_136_223_846_793_005)
        .wrapping_add(1_442_695_040_888_963_407);
    usize::try_from(*state >> 33).unwrap() % limit
}

#[test]
fn agrees_with_the_naive_search_on_varied_lists_and_haystacks() {
    let mut state = 1;
    let mut found = 0;
    for _ in 0..20_000 {
        // Few letters, so that words overlap, repeat and contain each other.
        let mut letters = |count: usize| -> Vec<u8> {
            (0..count).map(|_| b"abcd"[below(4, &mut state)]).collect()
        };
        let haystack = letters(6);
        let mut list = Vec::new();
        for length in [3, 4, 2, 3, 1, 2, 5, 1, 6, 2, 3] {
            list.extend(letters(length));
            list.push(b'\n');
        }
        // The first words alone are often not there at all.
        list.truncate(3 + below(30, &mut state));
        let mut tables = Small::new();
        tables.fill(&list).unwrap();
        let expected = naive(&list, &haystack);
        assert_eq!(
            find(&tables.scanner(&list), &haystack),
            expected,
            "list {:?}, haystack {:?}",
            String::from_utf8_lossy(&list),
            String::from_utf8_lossy(&haystack)
        );
        found += u32::from(expected.is_some());
    }
    assert!(
        (2_000..19_000).contains(&found),
        "both outcomes occur: {found}"
    );
}

#[test]
fn agrees_with_the_naive_search_on_the_default_list() {
    let scanner = DEFAULT.scanner(DEFAULT_TEXT);
    let mut state = 7;
    let mut found = 0;
    for _ in 0..5_000 {
        // Pieces of words and HTTP text, glued: near misses are the interesting case.
        let mut haystack = Vec::new();
        for _ in 0..6 {
            let word = scanner.word(u16::try_from(below(200, &mut state)).unwrap());
            haystack.extend(&word[..below(word.len() + 1, &mut state)]);
            haystack.extend(&b"\r\nGET /Q: "[..below(11, &mut state)]);
        }
        let expected = naive(DEFAULT_TEXT, &haystack);
        assert_eq!(find(&scanner, &haystack), expected, "{haystack:?}");
        found += u32::from(expected.is_some());
    }
    assert!(
        (500..4_900).contains(&found),
        "both outcomes occur: {found}"
    );
}

/// The automaton of another project, which knows nothing of filters.
#[test]
fn agrees_with_aho_corasick_on_long_haystacks_of_requests() {
    let scanner = DEFAULT.scanner(DEFAULT_TEXT);
    let words: Vec<&[u8]> = (0..200).map(|rank| scanner.word(rank)).collect();
    let automaton = aho_corasick::AhoCorasick::new(&words).unwrap();
    let oracle = |haystack: &[u8]| {
        automaton
            .find_overlapping_iter(haystack)
            .map(|found| found.pattern().as_u32())
            .min()
            .map(|rank| u16::try_from(rank).unwrap())
    };
    let text = include_bytes!("../../../bench/corpus/body-text");
    let mut state = 3;
    let mut found = 0;
    for _ in 0..4_000 {
        let start = below(text.len() - 400, &mut state);
        let mut haystack = text[start..][..below(400, &mut state)].to_vec();
        // Upper case makes most words go away, so that all ranks come up, and none.
        let upper = below(haystack.len() + 1, &mut state);
        haystack[..upper].make_ascii_uppercase();
        let expected = oracle(&haystack);
        assert_eq!(find(&scanner, &haystack), expected, "{haystack:?}");
        found += u32::from(expected.is_some());
    }
    assert!(
        (400..3_900).contains(&found),
        "both outcomes occur: {found}"
    );
}

#[test]
fn a_word_is_found_at_every_offset_and_length() {
    let list = b"needle-in-hay\nned\nok";
    let mut tables = Small::new();
    tables.fill(list).unwrap();
    let scanner = tables.scanner(list);
    for (rank, word) in [b"needle-in-hay".as_slice(), b"ned", b"ok"]
        .iter()
        .enumerate()
    {
        let is_found = |length: usize, offset: usize| {
            let mut haystack = vec![b'n'; length];
            haystack[offset..][..word.len()].copy_from_slice(word);
            let expected = u16::try_from(rank).unwrap();
            assert_eq!(find(&scanner, &haystack), Some(expected), "{haystack:?}");
        };
        for length in word.len()..140 {
            for offset in 0..=length - word.len() {
                is_found(length, offset);
            }
        }
        // Where one batch of candidates ends and the next begins.
        for length in 500..600 {
            for offset in 490..=length - word.len() {
                is_found(length, offset);
            }
        }
    }
}

/// Bytes of zero after the end are the scanner's own, and match no word.
#[test]
fn a_word_of_zeros_is_not_found_beyond_the_end() {
    let list = b"ab\0\0\nx\0";
    let mut tables = Small::new();
    tables.fill(list).unwrap();
    let scanner = tables.scanner(list);
    for length in 0..80 {
        let haystack = [vec![b'.'; length], b"abx".to_vec()].concat();
        assert_eq!(find(&scanner, &haystack), None);
    }
    assert_eq!(find(&scanner, b"ab\0\0"), Some(0));
    assert_eq!(find(&scanner, b"x\0"), Some(1));
}

/// The page after the haystack cannot be read, nor can the one before.
#[test]
fn nothing_is_read_outside_of_the_haystack() {
    const PAGE: usize = 4_096;
    // SAFETY: an anonymous mapping; the kernel chooses the address.
    let pages = unsafe {
        libc::mmap(
            std::ptr::null_mut(),
            3 * PAGE,
            libc::PROT_NONE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
            -1,
            0,
        )
    };
    assert_ne!(pages, libc::MAP_FAILED);
    // SAFETY: the middle one of three mapped pages.
    let middle = unsafe { pages.cast::<u8>().add(PAGE) };
    // SAFETY: as above.
    assert_eq!(
        // SAFETY: as above.
        unsafe { libc::mprotect(middle.cast(), PAGE, libc::PROT_READ | libc::PROT_WRITE) },
        0
    );
    // SAFETY: nobody else knows the page, which can be read and written.
    let page = unsafe { std::slice::from_raw_parts_mut(middle, PAGE) };
    let scanner = DEFAULT.scanner(DEFAULT_TEXT);
    for (index, byte) in page.iter_mut().enumerate() {
        *byte = b"conadmiuserx."[index % 13]; // beginnings of words everywhere
    }
    for length in 0..600 {
        let _ = find(&scanner, &page[PAGE - length..]);
        let _ = find(&scanner, &page[..length]);
    }
    // SAFETY: mapped above, and used no more.
    unsafe { libc::munmap(pages, 3 * PAGE) };
}

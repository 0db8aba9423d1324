//! The keyword scanner: which word of a list, the first in list order, occurs in these bytes?
//!
//! Every position is asked whether a word may start there: by AVX2 thirty-two at a time, from the
//! nibbles of three bytes ([`classes`]), elsewhere one by one, from a bitmap over all byte pairs. Where
//! one may, a bitmap over hashes of three bytes is asked too, and then the words that start with the
//! pair are compared. Everything is prepared ahead ([`list`]), so scanning allocates nothing, and it
//! looks at no byte beyond the haystack.

#[cfg(target_arch = "x86_64")]
mod avx2;
mod classes;
mod list;

use classes::Classes;
use list::{Bucket, Word, home};
pub use list::{Prepared, Problem};

/// How positions are asked whether a word may start there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filter {
    /// One by one: any processor.
    Portable,
    /// Thirty-two at a time.
    #[cfg(target_arch = "x86_64")]
    Avx2(crate::cpu::Avx2),
}

impl Filter {
    /// The fastest that this processor has.
    pub fn fastest() -> Self {
        #[cfg(target_arch = "x86_64")]
        if let Some(avx2) = crate::cpu::Avx2::detect() {
            return Self::Avx2(avx2);
        }
        Self::Portable
    }

    /// Has all later calls of [`Filter::in_use`] return this one. Until then it is the portable one.
    pub fn put_in_use(self) {
        match self {
            Self::Portable => {}
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(avx2) => avx2.put_in_use(),
        }
    }

    /// The one in use.
    #[inline]
    pub fn in_use() -> Self {
        #[cfg(target_arch = "x86_64")]
        if let Some(avx2) = crate::cpu::Avx2::in_use() {
            return Self::Avx2(avx2);
        }
        Self::Portable
    }
}

/// Scans haystacks for the words of a prepared list.
#[derive(Clone, Copy)]
pub struct Scanner<'t> {
    pairs: &'t [u64; 1 << 10],
    triples: &'t [u64; 1 << 10],
    #[cfg_attr(
        not(target_arch = "x86_64"),
        allow(dead_code, reason = "for vector instructions")
    )]
    classes: &'t Classes,
    singles: &'t [u16; 256],
    has_singles: bool,
    buckets: &'t [Bucket],
    words: &'t [Word],
    text: &'t [u8],
}

/// The rank of "no word": higher than every rank.
const NONE: u16 = u16::MAX;

impl<'t> Scanner<'t> {
    /// The rank (position in the list, from 0) of the first word of the list that occurs anywhere
    /// in `haystack`.
    #[inline]
    pub fn first_of_list(&self, haystack: &[u8], filter: Filter) -> Option<u16> {
        let best = if self.has_singles {
            self.best_single(haystack)
        } else {
            NONE
        };
        let best = match filter {
            Filter::Portable => self.best_from(haystack, best),
            #[cfg(target_arch = "x86_64")]
            Filter::Avx2(avx2) => avx2::best_from(self, haystack, best, avx2),
        };
        (best != NONE).then_some(best)
    }

    /// The lower of `best` and the rank of the first word of two bytes and more.
    fn best_from(&self, haystack: &[u8], mut best: u16) -> u16 {
        for (position, two) in haystack.windows(2).enumerate() {
            if is_set(self.pairs, pair(two[0], two[1])) {
                best = self.best_at(haystack, position, best);
                if best == 0 {
                    break;
                }
            }
        }
        best
    }

    /// The lower of `best` and the rank of the first word that starts at `position`.
    #[inline]
    fn best_at(&self, haystack: &[u8], position: usize, best: u16) -> u16 {
        let rest = haystack.get(position..).unwrap_or_default();
        let three = match (rest.first_chunk(), rest) {
            // One load, where four bytes are there.
            (Some(four), _) => u32::from_le_bytes(*four) & 0xff_ffff,
            (None, &[first, second, third]) => u32::from_le_bytes([first, second, third, 0]),
            (None, &[first, second]) => return self.compare(rest, pair(first, second), best),
            _ => return best,
        };
        if is_set(self.triples, triple_hash(three)) {
            let [first, second, ..] = three.to_le_bytes();
            self.compare(rest, pair(first, second), best)
        } else {
            best
        }
    }

    /// The lower of `best` and the rank of the first word that `rest`, which starts with `pair`,
    /// starts with.
    fn compare(&self, rest: &[u8], pair: u16, best: u16) -> u16 {
        let mask = self.buckets.len() - 1;
        let mut slot = home(pair, self.buckets.len());
        let bucket = loop {
            let bucket = self.buckets[slot];
            if bucket.count == 0 {
                // A filter has let through what no word starts with.
                return best;
            }
            if bucket.pair == pair {
                break bucket;
            }
            slot = (slot + 1) & mask;
        };
        let words = &self.words[usize::from(bucket.first)..][..usize::from(bucket.count)];
        let head = head(rest);
        for word in words {
            if word.rank >= best {
                break;
            }
            if word.begins(rest, head, self.text) {
                return word.rank;
            }
        }
        best
    }

    fn best_single(&self, haystack: &[u8]) -> u16 {
        haystack
            .iter()
            .map(|byte| self.singles[usize::from(*byte)].wrapping_sub(1))
            .min()
            .unwrap_or(NONE)
    }

    /// The word with `rank`.
    pub fn word(&self, rank: u16) -> &'t [u8] {
        self.text
            .split(|byte| *byte == b'\n')
            .map(|line| line.strip_suffix(b"\r").unwrap_or(line))
            .filter(|line| !line.is_empty())
            .nth(usize::from(rank))
            .unwrap_or_default()
    }
}

/// The first eight bytes, the first lowest; zeros for those that are not there.
#[inline]
fn head(rest: &[u8]) -> u64 {
    match rest.first_chunk::<8>() {
        Some(eight) => u64::from_le_bytes(*eight),
        None => rest
            .iter()
            .rev()
            .fold(0, |head, byte| head << 8 | u64::from(*byte)),
    }
}

#[inline]
fn is_set(bits: &[u64; 1 << 10], index: u16) -> bool {
    bits[usize::from(index >> 6)] >> (index & 63) & 1 != 0
}

/// Fibonacci hashing of three bytes, the first lowest.
const fn triple_hash(three: u32) -> u16 {
    (three.wrapping_mul(0x9e37_79b1) >> 16) as u16
}

const fn pair(first: u8, second: u8) -> u16 {
    u16::from_le_bytes([first, second])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::words::{DEFAULT, DEFAULT_TEXT};

    type Small = Prepared<64, 128>;

    fn first(list: &str, haystack: &[u8]) -> Option<u16> {
        let mut tables = Small::new();
        tables.fill(list.as_bytes()).unwrap();
        found(&tables.scanner(list.as_bytes()), haystack)
    }

    /// What the scanner finds, by every filter that this machine has.
    fn found(scanner: &Scanner<'_>, haystack: &[u8]) -> Option<u16> {
        let portable = scanner.first_of_list(haystack, Filter::Portable);
        let fastest = scanner.first_of_list(haystack, Filter::fastest());
        assert_eq!(portable, fastest, "{:?}", String::from_utf8_lossy(haystack));
        portable
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
    fn blank_lines_do_not_count() {
        assert_eq!(first("\n\r\nabc\r\n\nxyz", b"xyz"), Some(1));
    }

    #[test]
    fn the_default_list_has_200_words_and_finds_each() {
        let scanner = DEFAULT.scanner(DEFAULT_TEXT);
        for rank in 0..200 {
            let word = scanner.word(rank);
            assert!(!word.is_empty());
            let padded = [b"\x01".as_slice(), word, b"\x01"].concat();
            assert_eq!(found(&scanner, &padded), naive(DEFAULT_TEXT, word));
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
        let mut matches = 0;
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
                found(&tables.scanner(&list), &haystack),
                expected,
                "list {:?}, haystack {:?}",
                String::from_utf8_lossy(&list),
                String::from_utf8_lossy(&haystack)
            );
            matches += u32::from(expected.is_some());
        }
        assert!(
            (2_000..19_000).contains(&matches),
            "both outcomes occur: {matches}"
        );
    }

    #[test]
    fn agrees_with_the_naive_search_on_the_default_list() {
        let scanner = DEFAULT.scanner(DEFAULT_TEXT);
        let mut state = 7;
        let mut matches = 0;
        for _ in 0..5_000 {
            // Pieces of words and HTTP text, glued: near misses are the interesting case.
            let mut haystack = Vec::new();
            for _ in 0..6 {
                let word = scanner.word(u16::try_from(below(200, &mut state)).unwrap());
                haystack.extend(&word[..below(word.len() + 1, &mut state)]);
                haystack.extend(&b"\r\nGET /Q: "[..below(11, &mut state)]);
            }
            let expected = naive(DEFAULT_TEXT, &haystack);
            assert_eq!(found(&scanner, &haystack), expected, "{haystack:?}");
            matches += u32::from(expected.is_some());
        }
        assert!(
            (500..4_900).contains(&matches),
            "both outcomes occur: {matches}"
        );
    }

    /// The haystack ends where a page ends, and the next page cannot be read.
    #[test]
    #[allow(unsafe_code, reason = "pages are mapped, and one is made unreadable")]
    fn looks_at_no_byte_beyond_the_haystack_and_finds_words_up_to_its_end() {
        const PAGE: usize = 4_096;
        // SAFETY: an anonymous private mapping; the kernel chooses the address.
        let pages = unsafe {
            libc::mmap(
                core::ptr::null_mut(),
                2 * PAGE,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
                -1,
                0,
            )
        };
        assert_ne!(pages, libc::MAP_FAILED);
        let second = pages.wrapping_byte_add(PAGE);
        // SAFETY: the second page of the mapping, which no reference points to.
        let result = unsafe { libc::mprotect(second, PAGE, libc::PROT_NONE) };
        assert_eq!(result, 0);
        // SAFETY: the first page is readable, writable, zeroed and nobody else's.
        let page = unsafe { core::slice::from_raw_parts_mut(pages.cast::<u8>(), PAGE) };
        let scanner = DEFAULT.scanner(DEFAULT_TEXT);
        let words: [&[u8]; 3] = [b"js", b"css", b"wp-content"];
        for length in 0..80 {
            let haystack = &mut page[PAGE - length..];
            for word in words.iter().filter(|word| word.len() <= length) {
                for position in 0..=length - word.len() {
                    haystack.fill(b'.');
                    haystack[position..][..word.len()].copy_from_slice(word);
                    let expected = naive(DEFAULT_TEXT, haystack);
                    assert_eq!(found(&scanner, haystack), expected, "{length} {position}");
                    assert!(expected.is_some());
                }
            }
            haystack.fill(b'.');
            assert_eq!(found(&scanner, haystack), None, "{length}");
        }
        // SAFETY: mapped above, and no longer used.
        unsafe { libc::munmap(pages, 2 * PAGE) };
    }
}

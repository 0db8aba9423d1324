//! The keyword scanner: which word of a list, the first in list order, occurs in these bytes?
//!
//! A bitmap over all byte pairs tells for each position whether some word starts with the pair
//! there; 8 KiB of it stay in the L1 cache. Where one does, the words with that pair are compared.
//! Everything is prepared ahead, so scanning allocates nothing and looks at each byte of the
//! haystack once, and at none beyond it.

/// The longest word, in bytes.
pub const MAX_WORD: usize = 255;

/// Why a list of words cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Problem {
    /// Not a single word.
    Empty,
    /// More words than the tables hold.
    TooManyWords,
    /// A word longer than [`MAX_WORD`]; the line it is on, counted from 1.
    WordTooLong { line: usize },
}

/// Where a word lies in the text of its list.
#[derive(Clone, Copy)]
struct Word {
    start: u32,
    length: u16,
    /// Position in the list, counted from 0 over non-blank lines.
    rank: u16,
    /// The first two bytes, as [`pair`] packs them. Unused for words of one byte.
    pair: u16,
}

/// The run of `words` that start with `pair`. Empty where `count` is 0.
#[derive(Clone, Copy)]
struct Bucket {
    pair: u16,
    first: u16,
    count: u16,
}

/// A list made ready for scanning. `WORDS` is its capacity; `BUCKETS` is a power of two, at least
/// twice that.
pub struct Prepared<const WORDS: usize, const BUCKETS: usize> {
    /// One bit for each byte pair that some word starts with.
    pairs: [u64; 1 << 10],
    /// For each byte, the rank plus one of the first word that is just this byte.
    singles: [u16; 256],
    has_singles: bool,
    buckets: [Bucket; BUCKETS],
    /// Words of two bytes and more, by pair, then by rank.
    words: [Word; WORDS],
    count: usize,
}

impl<const WORDS: usize, const BUCKETS: usize> Prepared<WORDS, BUCKETS> {
    /// Tables without a word.
    pub const fn new() -> Self {
        assert!(BUCKETS.is_power_of_two() && BUCKETS >= 2 * WORDS);
        assert!(WORDS < u16::MAX as usize);
        Self {
            pairs: [0; 1 << 10],
            singles: [0; 256],
            has_singles: false,
            buckets: [Bucket {
                pair: 0,
                first: 0,
                count: 0,
            }; BUCKETS],
            words: [Word {
                start: 0,
                length: 0,
                rank: 0,
                pair: 0,
            }; WORDS],
            count: 0,
        }
    }

    /// Fills fresh tables with the words of `text`, one a line. Blank lines and carriage returns at
    /// line ends are passed over. Runs at build time for the default list, at load time for others.
    pub const fn fill(&mut self, text: &[u8]) -> Result<(), Problem> {
        let mut position = 0;
        let mut line = 0;
        let mut rank = 0;
        while position < text.len() {
            let start = position;
            while position < text.len() && text[position] != b'\n' {
                position += 1;
            }
            let mut end = position;
            position += 1;
            line += 1;
            if end > start && text[end - 1] == b'\r' {
                end -= 1;
            }
            let length = end - start;
            if length == 0 {
                continue;
            }
            if length > MAX_WORD {
                return Err(Problem::WordTooLong { line });
            }
            if rank == WORDS {
                return Err(Problem::TooManyWords);
            }
            self.add(text, start, length, rank);
            rank += 1;
        }
        if rank == 0 {
            return Err(Problem::Empty);
        }
        self.sort();
        self.fill_buckets();
        Ok(())
    }

    #[allow(
        clippy::cast_possible_truncation,
        reason = "ranks are below WORDS < 65,535 and lengths at most MAX_WORD; try_from is not const"
    )]
    const fn add(&mut self, text: &[u8], start: usize, length: usize, rank: usize) {
        if length == 1 {
            self.has_singles = true;
            let single = &mut self.singles[text[start] as usize];
            if *single == 0 {
                *single = rank as u16 + 1;
            }
            return;
        }
        let pair = pair(text[start], text[start + 1]);
        self.pairs[(pair >> 6) as usize] |= 1 << (pair & 63);
        self.words[self.count] = Word {
            start: start as u32,
            length: length as u16,
            rank: rank as u16,
            pair,
        };
        self.count += 1;
    }

    /// Comb sort by pair, then rank: short, in place, and possible at build time.
    const fn sort(&mut self) {
        let mut gap = self.count;
        let mut swapped = true;
        while gap > 1 || swapped {
            gap = if gap > 1 { gap * 10 / 13 } else { 1 };
            if gap == 0 {
                gap = 1;
            }
            swapped = false;
            let mut low = 0;
            while low + gap < self.count {
                if sort_key(self.words[low]) > sort_key(self.words[low + gap]) {
                    self.words.swap(low, low + gap);
                    swapped = true;
                }
                low += 1;
            }
        }
    }

    #[allow(clippy::cast_possible_truncation, reason = "counts are below 65,535")]
    const fn fill_buckets(&mut self) {
        let mut index = 0;
        while index < self.count {
            let pair = self.words[index].pair;
            let first = index;
            while index < self.count && self.words[index].pair == pair {
                index += 1;
            }
            let mut slot = home(pair, BUCKETS);
            while self.buckets[slot].count > 0 {
                slot = (slot + 1) & (BUCKETS - 1);
            }
            self.buckets[slot] = Bucket {
                pair,
                first: first as u16,
                count: (index - first) as u16,
            };
        }
    }

    /// The scanner over these tables. `text` is the list they were filled from.
    pub const fn scanner<'t>(&'t self, text: &'t [u8]) -> Scanner<'t> {
        Scanner {
            pairs: &self.pairs,
            singles: &self.singles,
            has_singles: self.has_singles,
            buckets: &self.buckets,
            words: self.words.split_at(self.count).0,
            text,
        }
    }
}

/// Scans haystacks for the words of a prepared list.
#[derive(Clone, Copy)]
pub struct Scanner<'t> {
    pairs: &'t [u64; 1 << 10],
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
    pub fn first_of_list(&self, haystack: &[u8]) -> Option<u16> {
        let mut best = if self.has_singles {
            self.best_single(haystack)
        } else {
            NONE
        };
        for (position, two) in haystack.windows(2).enumerate() {
            let pair = pair(two[0], two[1]);
            if self.pairs[usize::from(pair >> 6)] >> (pair & 63) & 1 != 0 {
                best = self.best_at(&haystack[position..], pair, best);
                if best == 0 {
                    break;
                }
            }
        }
        (best != NONE).then_some(best)
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

    /// The lower of `best` and the rank of the first word that `haystack` starts with.
    fn best_at(&self, haystack: &[u8], pair: u16, best: u16) -> u16 {
        let mask = self.buckets.len() - 1;
        let mut slot = home(pair, self.buckets.len());
        // The pair is in the bitmap, so its bucket exists and the probe ends at it.
        while self.buckets[slot].pair != pair || self.buckets[slot].count == 0 {
            slot = (slot + 1) & mask;
        }
        let bucket = self.buckets[slot];
        let words = &self.words[usize::from(bucket.first)..][..usize::from(bucket.count)];
        for word in words {
            if word.rank >= best {
                break;
            }
            let text = &self.text[word.start as usize..][..usize::from(word.length)];
            if haystack.starts_with(text) {
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
}

const fn pair(first: u8, second: u8) -> u16 {
    u16::from_le_bytes([first, second])
}

const fn sort_key(word: Word) -> u32 {
    ((word.pair as u32) << 16) | word.rank as u32
}

/// The bucket that the search for `pair` starts at (Fibonacci hashing).
const fn home(pair: u16, buckets: usize) -> usize {
    let hash = (pair as u32).wrapping_mul(0x9e37_79b1);
    (hash >> 16) as usize & (buckets - 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::words::{DEFAULT, DEFAULT_TEXT};

    type Small = Prepared<64, 128>;

    fn first(list: &str, haystack: &[u8]) -> Option<u16> {
        let mut tables = Small::new();
        tables.fill(list.as_bytes()).unwrap();
        tables.scanner(list.as_bytes()).first_of_list(haystack)
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
            assert_eq!(scanner.first_of_list(&padded), naive(DEFAULT_TEXT, word));
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
                tables.scanner(&list).first_of_list(&haystack),
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
            assert_eq!(scanner.first_of_list(&haystack), expected, "{haystack:?}");
            found += u32::from(expected.is_some());
        }
        assert!(
            (500..4_900).contains(&found),
            "both outcomes occur: {found}"
        );
    }
}

//! A list of words made into tables. All of it is possible at build time.

use super::groups::{Beginning, Groups, Nibbles};

/// The longest word, in bytes.
pub const MAX_WORD: usize = 255;

/// Groups of words that the filter tells apart.
pub const GROUPS: usize = 16;
/// The group of words of two bytes, which any third byte may follow.
const SHORT_GROUP: usize = GROUPS - 1;

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

/// A word of two bytes or more.
#[derive(Clone, Copy)]
pub struct Word {
    /// Its first eight bytes, little-endian; zeros where it is shorter.
    pub head: u64,
    /// Ones where `head` has bytes of the word.
    pub head_mask: u64,
    /// What it begins with, as [`key_of_two`] or [`key_of_three`] packs it.
    key: u32,
    /// Where it lies in the text of its list.
    pub start: u32,
    /// Bytes.
    pub length: u16,
    /// Position in the list, counted from 0 over non-blank lines.
    pub rank: u16,
}

const NO_WORD: Word = Word {
    head: 0,
    head_mask: 0,
    key: 0,
    start: 0,
    length: 0,
    rank: 0,
};

/// The run of words that begin with `key`. Empty where `count` is 0.
#[derive(Clone, Copy)]
pub struct Bucket {
    pub key: u32,
    pub first: u16,
    pub count: u16,
}

/// What all sizes of tables share.
pub struct Sieve {
    pub nibbles: Nibbles,
    /// One bit for each [`hash_of_three`] bytes that some word begins with, or may with any third byte.
    pub of_three: [u64; 1 << 10],
    /// One bit for each [`hash_of_two`] bytes that are a word. Few bytes that begin a word are also one of these.
    pub of_two: [u64; 1 << 4],
    /// For each byte, the rank plus one of the first word that is just this byte.
    pub singles: [u16; 256],
    pub has_singles: bool,
}

/// A list made ready for scanning. `WORDS` is its capacity; `BUCKETS` is a power of two, at least
/// twice that.
pub struct Prepared<const WORDS: usize, const BUCKETS: usize> {
    pub(super) sieve: Sieve,
    pub(super) buckets: [Bucket; BUCKETS],
    /// By what they begin with, then by rank.
    pub(super) words: [Word; WORDS],
    pub(super) count: usize,
    /// For each rank, where its word is in `words`, plus one; 0 for words of one byte.
    pub(super) places: [u16; WORDS],
}

impl<const WORDS: usize, const BUCKETS: usize> Prepared<WORDS, BUCKETS> {
    /// Tables without a word.
    pub const fn new() -> Self {
        assert!(BUCKETS.is_power_of_two() && BUCKETS >= 2 * WORDS);
        assert!(WORDS < u16::MAX as usize);
        Self {
            sieve: Sieve {
                nibbles: Nibbles::NONE,
                of_three: [0; 1 << 10],
                of_two: [0; 1 << 4],
                singles: [0; 256],
                has_singles: false,
            },
            buckets: [Bucket {
                key: 0,
                first: 0,
                count: 0,
            }; BUCKETS],
            words: [NO_WORD; WORDS],
            count: 0,
            places: [0; WORDS],
        }
    }

    /// Fills fresh tables with the words of `text`, one a line. Blank lines and carriage returns at
    /// line ends are passed over, and a byte-order mark. Runs at build time for the default list, at load time for others.
    pub const fn fill(&mut self, text: &[u8]) -> Result<(), Problem> {
        let mut position = match text {
            [0xef, 0xbb, 0xbf, ..] => 3,
            _ => 0,
        };
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
        self.fill_nibbles();
        Ok(())
    }

    #[allow(
        clippy::cast_possible_truncation,
        reason = "ranks are below WORDS < 65,535 and lengths at most MAX_WORD; try_from is not const"
    )]
    const fn add(&mut self, text: &[u8], start: usize, length: usize, rank: usize) {
        if length == 1 {
            self.sieve.has_singles = true;
            let single = &mut self.sieve.singles[text[start] as usize];
            if *single == 0 {
                *single = rank as u16 + 1;
            }
            return;
        }
        let mut word = Word {
            start: start as u32,
            length: length as u16,
            rank: rank as u16,
            ..NO_WORD
        };
        let mut index = 0;
        while index < length && index < 8 {
            word.head |= (text[start + index] as u64) << (8 * index);
            word.head_mask |= 0xff << (8 * index);
            index += 1;
        }
        if length == 2 {
            set(&mut self.sieve.of_two, hash_of_two(word.head));
            word.key = key_of_two(word.head);
            let mut third = 0;
            while third < 256 {
                set(
                    &mut self.sieve.of_three,
                    hash_of_three(word.head | third << 16),
                );
                third += 1;
            }
        } else {
            word.key = key_of_three(word.head);
            set(&mut self.sieve.of_three, hash_of_three(word.head));
        }
        self.words[self.count] = word;
        self.count += 1;
    }

    /// Comb sort: short, in place, and possible at build time.
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
            let key = self.words[index].key;
            let first = index;
            while index < self.count && self.words[index].key == key {
                self.places[self.words[index].rank as usize] = index as u16 + 1;
                index += 1;
            }
            let mut slot = home(key, BUCKETS);
            while self.buckets[slot].count > 0 {
                slot = (slot + 1) & (BUCKETS - 1);
            }
            self.buckets[slot] = Bucket {
                key,
                first: first as u16,
                count: (index - first) as u16,
            };
        }
    }

    /// Puts words into groups. Those that are neighbours by their beginnings come together, where that lets the
    /// fewest other beginnings pass.
    const fn fill_nibbles(&mut self) {
        let mut groups = Groups::<WORDS>::new();
        let mut index = 0;
        while index < self.count {
            let word = self.words[index];
            let beginning = Beginning::of(word.head, word.length);
            if word.length > 2 {
                groups.push(beginning);
            } else {
                self.sieve.nibbles.add(beginning, SHORT_GROUP);
            }
            index += 1;
        }
        groups.merge_to(SHORT_GROUP);
        let mut group = 0;
        while group < groups.count {
            self.sieve.nibbles.add(groups.all[group], group);
            group += 1;
        }
    }
}

const fn set<const WORDS: usize>(bits: &mut [u64; WORDS], hash: u32) {
    bits[(hash >> 6) as usize] |= 1 << (hash & 63);
}

/// Sixteen bits of the first three bytes of `head` (Fibonacci hashing).
#[inline(always)]
#[allow(
    clippy::inline_always,
    clippy::cast_possible_truncation,
    reason = "the innermost step of the scan; only three bytes count"
)]
pub const fn hash_of_three(head: u64) -> u32 {
    ((head as u32) << 8).wrapping_mul(0x9e37_79b1) >> 16
}

/// Ten bits of the first two bytes of `head`.
#[inline(always)]
#[allow(
    clippy::inline_always,
    clippy::cast_possible_truncation,
    reason = "as above"
)]
pub const fn hash_of_two(head: u64) -> u32 {
    ((head as u32) << 16).wrapping_mul(0x9e37_79b1) >> 22
}

/// The key of words of two bytes.
#[allow(clippy::cast_possible_truncation, reason = "only two bytes count")]
pub const fn key_of_two(head: u64) -> u32 {
    head as u32 & 0xffff | 1 << 24
}

/// The key of longer words.
#[allow(clippy::cast_possible_truncation, reason = "only three bytes count")]
pub const fn key_of_three(head: u64) -> u32 {
    head as u32 & 0x00ff_ffff
}

/// By the first byte above all, as the filter's groups need it; words of two bytes in front.
const fn sort_key(word: Word) -> u64 {
    let is_long = (word.length > 2) as u64;
    is_long << 63 | (word.key.swap_bytes() as u64) << 16 | word.rank as u64
}

/// The bucket that the search for `key` starts at.
pub const fn home(key: u32, buckets: usize) -> usize {
    (key.wrapping_mul(0x9e37_79b1) >> 16) as usize & (buckets - 1)
}

//! A list of words, made ready for scanning: everything that can be known before the first haystack.

use super::classes::{Boxes, Classes, Start};
use super::{NONE, Scanner, pair, triple_hash};

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

/// Where a word lies in the text of its list, and how it begins.
#[derive(Clone, Copy)]
pub(super) struct Word {
    /// Its first eight bytes, the first lowest; zeros behind a shorter word.
    head: u64,
    /// Which bits of [`Word::head`] are the word's.
    head_mask: u64,
    start: u32,
    length: u16,
    /// Position in the list, counted from 0 over non-blank lines.
    pub(super) rank: u16,
    /// The first two bytes, as [`pair`] packs them. Unused for words of one byte.
    pair: u16,
}

impl Word {
    const NOTHING: Self = Self {
        head: 0,
        head_mask: 0,
        start: 0,
        length: 0,
        rank: 0,
        pair: 0,
    };

    /// Whether `rest`, whose first eight bytes are `head`, begins with this word of the list `text`.
    #[inline]
    pub(super) fn begins(&self, rest: &[u8], head: u64, text: &[u8]) -> bool {
        let length = usize::from(self.length);
        head & self.head_mask == self.head
            && length <= rest.len()
            && (length <= 8 || rest[8..length] == text[self.start as usize..][8..length])
    }
}

/// The run of `words` that start with `pair`. Empty where `count` is 0.
#[derive(Clone, Copy)]
pub(super) struct Bucket {
    pub(super) pair: u16,
    pub(super) first: u16,
    pub(super) count: u16,
}

/// A list made ready for scanning. `WORDS` is its capacity; `BUCKETS` is a power of two, at least
/// twice that.
pub struct Prepared<const WORDS: usize, const BUCKETS: usize> {
    /// One bit for each byte pair that some word starts with.
    pairs: [u64; 1 << 10],
    /// One bit for each hash of three bytes that some word may start with.
    triples: [u64; 1 << 10],
    /// What a word may start with, nibble by nibble.
    classes: Classes,
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
        assert!(WORDS < NONE as usize);
        Self {
            pairs: [0; 1 << 10],
            triples: [0; 1 << 10],
            classes: Classes::NOTHING,
            singles: [0; 256],
            has_singles: false,
            buckets: [Bucket {
                pair: 0,
                first: 0,
                count: 0,
            }; BUCKETS],
            words: [Word::NOTHING; WORDS],
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
        self.fill_classes();
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
        let (first, second) = (text[start], text[start + 1]);
        let pair = pair(first, second);
        set(&mut self.pairs, pair);
        let mut third = if length > 2 { text[start + 2] } else { 0 };
        loop {
            let three = u32::from_le_bytes([first, second, third, 0]);
            set(&mut self.triples, triple_hash(three));
            // Behind a word of two bytes there may be any third.
            if length > 2 || third == u8::MAX {
                break;
            }
            third += 1;
        }
        let mut word = Word {
            start: start as u32,
            length: length as u16,
            rank: rank as u16,
            pair,
            ..Word::NOTHING
        };
        let mut at = 0;
        while at < length && at < 8 {
            word.head |= (text[start + at] as u64) << (8 * at);
            word.head_mask |= 0xff << (8 * at);
            at += 1;
        }
        self.words[self.count] = word;
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

    /// Words of two bytes first: they fit many haystacks, and had better keep to themselves. Those that
    /// were put early are then put anew, as it is only now known what else there is.
    const fn fill_classes(&mut self) {
        const PASSES: usize = 3;
        let mut boxes = Boxes::new();
        let mut class_of = [0; WORDS];
        let mut pass = 0;
        while pass < 2 * PASSES {
            let mut index = 0;
            while index < self.count {
                let is_pair = self.words[index].length == 2;
                if is_pair == (pass % 2 == 0) {
                    let start = Start::new(self.words[index].head, is_pair);
                    if pass >= 2 {
                        boxes.remove(class_of[index], start);
                    }
                    class_of[index] = boxes.add(start);
                }
                index += 1;
            }
            pass += 1;
        }
        self.classes = boxes.classes();
    }

    /// The scanner over these tables. `text` is the list they were filled from.
    pub const fn scanner<'t>(&'t self, text: &'t [u8]) -> Scanner<'t> {
        Scanner {
            pairs: &self.pairs,
            triples: &self.triples,
            classes: &self.classes,
            singles: &self.singles,
            has_singles: self.has_singles,
            buckets: &self.buckets,
            words: self.words.split_at(self.count).0,
            text,
        }
    }
}

const fn set(bits: &mut [u64; 1 << 10], index: u16) {
    bits[(index >> 6) as usize] |= 1 << (index & 63);
}

const fn sort_key(word: Word) -> u32 {
    ((word.pair as u32) << 16) | word.rank as u32
}

/// The bucket that the search for `pair` starts at (Fibonacci hashing).
pub(super) const fn home(pair: u16, buckets: usize) -> usize {
    let hash = (pair as u32).wrapping_mul(0x9e37_79b1);
    (hash >> 16) as usize & (buckets - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    type Small = Prepared<64, 128>;

    #[test]
    fn blank_lines_and_carriage_returns_are_no_words() {
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
}

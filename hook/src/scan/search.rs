//! Searching a haystack for the words of a prepared list.
#![allow(
    unsafe_code,
    reason = "eight bytes at once are loaded without a check, and AVX2 is used where the CPU has it"
)]

use super::Filter;
use super::list::{
    Bucket, Prepared, Sieve, Word, hash_of_three, hash_of_two, home, key_of_three, key_of_two,
};

/// The rank of "no word": higher than every rank.
const NONE: u16 = u16::MAX;

/// Bytes that are loaded at once where a word may begin.
pub(super) const HEAD: usize = 8;

/// Scans haystacks for the words of a prepared list.
#[derive(Clone, Copy)]
pub struct Scanner<'t> {
    pub(super) sieve: &'t Sieve,
    buckets: &'t [Bucket],
    words: &'t [Word],
    places: &'t [u16],
    text: &'t [u8],
}

impl<const WORDS: usize, const BUCKETS: usize> Prepared<WORDS, BUCKETS> {
    /// The scanner over these tables. `text` is the list they were filled from.
    #[inline]
    pub const fn scanner<'t>(&'t self, text: &'t [u8]) -> Scanner<'t> {
        Scanner {
            sieve: &self.sieve,
            buckets: &self.buckets,
            words: self.words.split_at(self.count).0,
            places: &self.places,
            text,
        }
    }
}

impl<'t> Scanner<'t> {
    /// The rank (position in the list, from 0) of the first word of the list that occurs anywhere
    /// in `haystack`.
    #[inline]
    pub fn first_of_list(&self, haystack: &[u8], filter: Filter) -> Option<u16> {
        let best = if self.sieve.has_singles {
            self.best_single(haystack)
        } else {
            NONE
        };
        let best = match filter {
            Filter::Portable => self.search(haystack, best),
            #[cfg(target_arch = "x86_64")]
            Filter::Avx2(avx2) => self.search_by_avx2(haystack, best, avx2),
        };
        (best != NONE).then_some(best)
    }

    /// The word with `rank`.
    pub fn word(&self, rank: u16) -> &'t [u8] {
        let place = self.places.get(usize::from(rank)).unwrap_or(&0);
        if let Some(word) = self.words.get(usize::from(*place).wrapping_sub(1)) {
            return &self.text[word.start as usize..][..usize::from(word.length)];
        }
        // A word of one byte, or none.
        let single = |byte: &u8| self.sieve.singles[usize::from(*byte)].wrapping_sub(1) == rank;
        self.text
            .iter()
            .position(single)
            .map_or(&[], |position| &self.text[position..=position])
    }

    /// The lower of `best` and the lowest rank of all words in `haystack`.
    fn search(&self, haystack: &[u8], mut best: u16) -> u16 {
        const STEP: usize = 4;
        let mut start = 0;
        while start < haystack.len() {
            let four = head(haystack, start);
            let mut candidates = 0;
            for offset in 0..STEP {
                candidates |= self.begins_word(four >> (8 * offset)) << offset;
            }
            while candidates != 0 {
                let position = start + candidates.trailing_zeros() as usize;
                candidates &= candidates - 1;
                let rest = haystack.get(position..).unwrap_or_default();
                best = self.best_at(rest, head(haystack, position), best);
            }
            if best == 0 {
                return 0;
            }
            start += STEP;
        }
        best
    }

    /// Whether a word may begin with the first bytes of `head`: 1 or 0.
    #[inline(always)]
    #[allow(clippy::inline_always, reason = "the innermost step of the scan")]
    pub(super) fn begins_word(&self, head: u64) -> usize {
        bit(&self.sieve.of_three, hash_of_three(head))
    }

    /// The lower of `best` and the rank of the first word that stands at the start of `rest`, whose
    /// first bytes are in `head`. Zeros stand in `head` for bytes beyond the end.
    #[inline]
    pub(super) fn best_at(&self, rest: &[u8], head: u64, best: u16) -> u16 {
        let best = self.best_of(key_of_three(head), rest, head, best);
        if bit(&self.sieve.of_two, hash_of_two(head)) == 0 {
            return best;
        }
        self.best_of(key_of_two(head), rest, head, best)
    }

    #[inline]
    fn best_of(&self, key: u32, rest: &[u8], head: u64, best: u16) -> u16 {
        let mask = self.buckets.len() - 1;
        let mut slot = home(key, self.buckets.len());
        // At least half of the buckets are empty, so the probe ends.
        let bucket = loop {
            let bucket = &self.buckets[slot & mask];
            if bucket.count == 0 {
                return best;
            }
            if bucket.key == key {
                break bucket;
            }
            slot += 1;
        };
        let words = &self.words[usize::from(bucket.first)..][..usize::from(bucket.count)];
        for word in words {
            if word.rank >= best {
                break;
            }
            if head & word.head_mask == word.head && self.is_rest(word, rest) {
                return word.rank;
            }
        }
        best
    }

    /// Whether `rest` starts with a word whose head has been compared already.
    #[inline]
    fn is_rest(&self, word: &Word, rest: &[u8]) -> bool {
        let length = usize::from(word.length);
        // The zeros beyond the end might be taken for bytes of a word.
        length <= rest.len()
            && (length <= HEAD || {
                let text = &self.text[word.start as usize..][..length];
                text[HEAD..] == rest[HEAD..length]
            })
    }

    fn best_single(&self, haystack: &[u8]) -> u16 {
        haystack
            .iter()
            .map(|byte| self.sieve.singles[usize::from(*byte)].wrapping_sub(1))
            .min()
            .unwrap_or(NONE)
    }
}

#[inline(always)]
#[allow(clippy::inline_always, reason = "the innermost step of the scan")]
#[allow(clippy::cast_possible_truncation, reason = "one bit is left")]
fn bit<const WORDS: usize>(bits: &[u64; WORDS], hash: u32) -> usize {
    (bits[(hash >> 6) as usize] >> (hash & 63) & 1) as usize
}

/// The eight bytes at `position`, the first lowest; zeros for those that are not there.
#[inline(always)]
#[allow(
    clippy::inline_always,
    reason = "one instruction of the scan, nearly always"
)]
pub(super) fn head(haystack: &[u8], position: usize) -> u64 {
    let rest = haystack.get(position..).unwrap_or_default();
    match rest.first_chunk() {
        Some(eight) => u64::from_le_bytes(*eight),
        None => head_of_end(haystack, rest),
    }
}

/// As [`head`], of the last bytes.
#[cold]
#[inline(never)]
fn head_of_end(haystack: &[u8], rest: &[u8]) -> u64 {
    match haystack.last_chunk::<HEAD>() {
        // The last eight bytes, less those in front of `rest`. It has one byte at least, or none.
        Some(eight) if !rest.is_empty() => u64::from_le_bytes(*eight) >> (8 * (HEAD - rest.len())),
        _ => rest
            .iter()
            .rev()
            .fold(0, |head, byte| head << 8 | u64::from(*byte)),
    }
}

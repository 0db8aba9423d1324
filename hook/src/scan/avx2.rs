//! The filter of nibbles, 32 positions at a time.
#![allow(
    unsafe_code,
    reason = "vector instructions, which only a processor that has them may run, and their loads"
)]

use core::arch::x86_64::{
    __m128i, __m256i, _mm_loadu_si128, _mm256_and_si256, _mm256_broadcastsi128_si256,
    _mm256_cmpeq_epi8, _mm256_loadu_si256, _mm256_movemask_epi8, _mm256_or_si256, _mm256_set1_epi8,
    _mm256_setzero_si256, _mm256_shuffle_epi8, _mm256_srli_epi16,
};

use super::groups::Nibbles;
use super::search::{Scanner, head};
use crate::cpu::Avx2;

/// Positions that are filtered at once.
const LANES: usize = 32;
/// Bytes that are looked at for them.
const WINDOW: usize = LANES + 2;
/// Positions that a word of candidates stands for.
const POSITIONS: usize = 2 * LANES;
/// Words of candidates that are found before any candidate is looked at: looking takes the registers away that the
/// tables fill.
const BATCH: usize = 8;

impl Scanner<'_> {
    /// As [`Scanner::search`].
    #[inline]
    pub(super) fn search_by_avx2(&self, haystack: &[u8], best: u16, _: Avx2) -> u16 {
        // SAFETY: there is an `Avx2` only where the processor has these instructions.
        unsafe { self.search_windows(haystack, best) }
    }

    #[target_feature(enable = "avx2,bmi1,popcnt")]
    fn search_windows(&self, haystack: &[u8], mut best: u16) -> u16 {
        let nibbles = &self.sieve.nibbles;
        let Some(last) = haystack.len().checked_sub(WINDOW) else {
            // A copy that ends in zeros; the comparison knows where the haystack ends.
            let mut window = [0; WINDOW];
            window[..haystack.len()].copy_from_slice(haystack);
            let candidates = u64::from(Tables::new(nibbles).candidates(&window));
            return self.visit(haystack, 0, &[candidates], best);
        };
        let mut batch = [0; BATCH];
        let mut start = 0;
        while start < last + LANES {
            let candidates = candidates(nibbles, haystack, start, &mut batch);
            best = self.visit(haystack, start, candidates, best);
            if best == 0 {
                return 0;
            }
            start += BATCH * POSITIONS;
        }
        // At the very last position only words of two bytes may begin.
        match haystack.last_chunk() {
            Some(pair) => {
                let head = u64::from(u16::from_le_bytes(*pair));
                if self.begins_word(head) != 0 {
                    best = self.best_at(pair, head, best);
                }
                best
            }
            None => best,
        }
    }

    /// The lower of `best` and the rank of the first word that stands at one of the candidates, which are
    /// counted from `start`.
    #[inline]
    #[target_feature(enable = "avx2,bmi1,popcnt")]
    fn visit(&self, haystack: &[u8], mut start: usize, candidates: &[u64], mut best: u16) -> u16 {
        for candidates in candidates {
            let mut candidates = *candidates;
            while candidates != 0 {
                let position = start + candidates.trailing_zeros() as usize;
                candidates &= candidates - 1;
                let head = head(haystack, position);
                if self.begins_word(head) != 0 {
                    let rest = haystack.get(position..).unwrap_or_default();
                    best = self.best_at(rest, head, best);
                }
            }
            start += POSITIONS;
        }
        best
    }
}

/// One bit for each position from `start` to the last at which three bytes begin, or until the batch is full: may a
/// word begin there? The haystack has a window, and a position from `start` on.
#[inline]
#[target_feature(enable = "avx2,bmi1,popcnt")]
fn candidates<'b>(
    nibbles: &Nibbles,
    haystack: &[u8],
    start: usize,
    batch: &'b mut [u64; BATCH],
) -> &'b [u64] {
    let tables = Tables::new(nibbles);
    let last = haystack.len() - WINDOW;
    let window = |position: usize| {
        if position <= last {
            return tables.candidates(&haystack[position..]);
        }
        // Less than a window is left: the last one overlaps with the one before.
        match position - last {
            seen @ 1..LANES => tables.candidates(&haystack[last..]) >> seen,
            _ => 0,
        }
    };
    let filled = (last + LANES - start).div_ceil(POSITIONS).min(BATCH);
    let batch = &mut batch[..filled];
    let mut position = start;
    for candidates in batch.iter_mut() {
        *candidates = u64::from(window(position)) | u64::from(window(position + LANES)) << LANES;
        position += POSITIONS;
    }
    batch
}

/// [`Nibbles`] in registers.
struct Tables {
    groups: [[[__m256i; 2]; 3]; 2],
}

impl Tables {
    #[inline]
    #[target_feature(enable = "avx2,bmi1,popcnt")]
    fn new(nibbles: &Nibbles) -> Self {
        let mut groups = [[[_mm256_setzero_si256(); 2]; 3]; 2];
        for (half, tables) in groups.iter_mut().zip(&nibbles.groups) {
            for (byte, tables) in half.iter_mut().zip(tables) {
                *byte = [table(&tables[0]), table(&tables[1])];
            }
        }
        Self { groups }
    }

    /// One bit for each of the first 32 positions: may a word begin there? Looks at two bytes more.
    #[inline]
    #[target_feature(enable = "avx2,bmi1,popcnt")]
    fn candidates(&self, bytes: &[u8]) -> u32 {
        let bytes = &bytes[..WINDOW];
        let nibble = _mm256_set1_epi8(15);
        let mut passed = [_mm256_set1_epi8(-1); 2];
        for index in 0..3 {
            let from: *const __m256i = bytes[index..][..LANES].as_ptr().cast();
            // SAFETY: the slice has 32 bytes.
            let bytes = unsafe { _mm256_loadu_si256(from) };
            let low = _mm256_and_si256(bytes, nibble);
            let high = _mm256_and_si256(_mm256_srli_epi16::<4>(bytes), nibble);
            for (passed, tables) in passed.iter_mut().zip(&self.groups) {
                let [of_low, of_high] = tables[index];
                let groups = _mm256_and_si256(
                    _mm256_shuffle_epi8(of_low, low),
                    _mm256_shuffle_epi8(of_high, high),
                );
                *passed = _mm256_and_si256(*passed, groups);
            }
        }
        let any = _mm256_or_si256(passed[0], passed[1]);
        let none = _mm256_cmpeq_epi8(any, _mm256_setzero_si256());
        !_mm256_movemask_epi8(none).cast_unsigned()
    }
}

/// A table of sixteen, twice: shuffles look up within each half.
#[inline]
#[target_feature(enable = "avx2,bmi1,popcnt")]
fn table(sixteen: &[u8; 16]) -> __m256i {
    let from: *const __m128i = sixteen.as_ptr().cast();
    // SAFETY: the sixteen bytes are there, and need no alignment.
    _mm256_broadcastsi128_si256(unsafe { _mm_loadu_si128(from) })
}

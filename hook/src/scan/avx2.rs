//! The filter by AVX2: thirty-two positions at a time.
#![allow(
    unsafe_code,
    reason = "vector instructions, which only a processor that has them may run, and their loads"
)]

use core::arch::x86_64::{
    __m128i, __m256i, _mm_loadu_si128, _mm256_and_si256, _mm256_broadcastsi128_si256,
    _mm256_cmpeq_epi8, _mm256_loadu_si256, _mm256_movemask_epi8, _mm256_set1_epi8,
    _mm256_setzero_si256, _mm256_shuffle_epi8, _mm256_srli_epi16,
};

use super::Scanner;
use super::classes::Classes;
use crate::cpu::Avx2;

/// Positions looked at together.
const LANES: usize = 32;
/// Bytes that their three shifted loads take.
const WINDOW: usize = LANES + 2;

/// As [`Scanner::best_from`].
pub fn best_from(scanner: &Scanner<'_>, haystack: &[u8], best: u16, _: Avx2) -> u16 {
    // SAFETY: there is an `Avx2` only where the processor has these instructions.
    unsafe { search(scanner, haystack, best) }
}

#[target_feature(enable = "avx2")]
fn search(scanner: &Scanner<'_>, haystack: &[u8], mut best: u16) -> u16 {
    let tables = Tables::new(scanner.classes);
    let mut base = 0;
    while let Some(window) = haystack.get(base..).and_then(<[u8]>::first_chunk) {
        let candidates = tables.candidates(window);
        best = visit(scanner, haystack, base, candidates, best);
        if best == 0 {
            return 0;
        }
        base += LANES;
    }
    // Fewer than a window's bytes are left. A copy of them ends in zeros; where these make a candidate,
    // the comparison knows where the haystack ends.
    let rest = haystack.get(base..).unwrap_or_default();
    if let Some(window) = haystack.last_chunk::<WINDOW>() {
        // The last window has been looked at up to `base`, and lacks only the very last pair.
        let start = haystack.len() - WINDOW;
        let seen = base - start;
        let unseen = if seen < LANES { u32::MAX << seen } else { 0 };
        best = visit(
            scanner,
            haystack,
            start,
            tables.candidates(window) & unseen,
            best,
        );
        scanner.best_at(haystack, haystack.len() - 2, best)
    } else {
        let mut window = [0; WINDOW];
        for (to, from) in window.iter_mut().zip(rest) {
            *to = *from;
        }
        visit(scanner, haystack, 0, tables.candidates(&window), best)
    }
}

/// The lower of `best` and the rank of the first word that starts at one of the candidates.
#[inline]
#[target_feature(enable = "avx2")]
fn visit(
    scanner: &Scanner<'_>,
    haystack: &[u8],
    base: usize,
    mut candidates: u32,
    mut best: u16,
) -> u16 {
    while candidates != 0 {
        best = scanner.best_at(haystack, base + candidates.trailing_zeros() as usize, best);
        candidates &= candidates - 1;
    }
    best
}

/// [`Classes`] in registers.
struct Tables([__m256i; 6]);

impl Tables {
    #[inline]
    #[target_feature(enable = "avx2")]
    fn new(classes: &Classes) -> Self {
        let mut tables = [_mm256_setzero_si256(); 6];
        for (to, from) in tables.iter_mut().zip(&classes.allowing) {
            *to = table(from);
        }
        Self(tables)
    }

    /// Where in a window a word may start: one bit a position.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn candidates(&self, window: &[u8; WINDOW]) -> u32 {
        let allowed = _mm256_and_si256(
            _mm256_and_si256(self.allowed::<0>(window), self.allowed::<1>(window)),
            self.allowed::<2>(window),
        );
        let none = _mm256_cmpeq_epi8(allowed, _mm256_setzero_si256());
        !_mm256_movemask_epi8(none).cast_unsigned()
    }

    /// For each position, the classes that allow the byte so many behind it.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn allowed<const BEHIND: usize>(&self, window: &[u8; WINDOW]) -> __m256i {
        const { assert!(BEHIND + LANES <= WINDOW) };
        let from: *const __m256i = window.as_ptr().wrapping_add(BEHIND).cast();
        // SAFETY: by the line above these thirty-two bytes lie within the window.
        let bytes = unsafe { _mm256_loadu_si256(from) };
        let nibble = _mm256_set1_epi8(0xf);
        let low = _mm256_and_si256(bytes, nibble);
        let high = _mm256_and_si256(_mm256_srli_epi16::<4>(bytes), nibble);
        _mm256_and_si256(
            _mm256_shuffle_epi8(self.0[2 * BEHIND], low),
            _mm256_shuffle_epi8(self.0[2 * BEHIND + 1], high),
        )
    }
}

/// A table of sixteen, twice: shuffles look up within each half.
#[inline]
#[target_feature(enable = "avx2")]
fn table(sixteen: &[u8; 16]) -> __m256i {
    let from: *const __m128i = sixteen.as_ptr().cast();
    // SAFETY: the sixteen bytes are there, and need no alignment.
    _mm256_broadcastsi128_si256(unsafe { _mm_loadu_si128(from) })
}

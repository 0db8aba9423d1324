//! Scanning what was read into several buffers: a word may begin in one and end in another.

use crate::scan::{Filter, MAX_WORD, Scanner};

/// The most bytes of a word on either side of a border.
const SIDE: usize = MAX_WORD - 1;

/// As [`Scanner::first_of_list`], for a haystack in pieces.
pub fn first_of_list<'p>(
    scanner: &Scanner<'_>,
    filter: Filter,
    pieces: impl Iterator<Item = &'p [u8]>,
) -> Option<u16> {
    let mut border = Border::new();
    let mut best: Option<u16> = None;
    for piece in pieces {
        let across = border.across(piece);
        for found in [
            scanner.first_of_list(across, filter),
            scanner.first_of_list(piece, filter),
        ] {
            best = match (best, found) {
                (Some(best), Some(found)) => Some(best.min(found)),
                (one, other) => one.or(other),
            };
        }
        border.pass(piece);
    }
    best
}

/// The bytes before a border between two pieces, and room for those behind.
struct Border {
    bytes: [u8; 2 * SIDE],
    /// How many there are before.
    before: usize,
}

impl Border {
    const fn new() -> Self {
        Self {
            bytes: [0; 2 * SIDE],
            before: 0,
        }
    }

    /// The bytes on both sides, as far as a word across the border may reach. Nothing before the first
    /// piece.
    fn across(&mut self, piece: &[u8]) -> &[u8] {
        if self.before == 0 {
            return &[];
        }
        let behind = piece.len().min(SIDE);
        self.bytes[self.before..][..behind].copy_from_slice(&piece[..behind]);
        &self.bytes[..self.before + behind]
    }

    /// Moves behind a piece.
    fn pass(&mut self, piece: &[u8]) {
        if piece.len() >= SIDE {
            self.bytes[..SIDE].copy_from_slice(&piece[piece.len() - SIDE..]);
            self.before = SIDE;
            return;
        }
        // Of what is before, as much stays as is still near enough.
        let kept = self.before.min(SIDE - piece.len());
        self.bytes.copy_within(self.before - kept..self.before, 0);
        self.bytes[kept..][..piece.len()].copy_from_slice(piece);
        self.before = kept + piece.len();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::words::{DEFAULT, DEFAULT_TEXT};

    fn in_pieces(haystack: &[u8], sizes: &[usize]) -> Option<u16> {
        let mut rest = haystack;
        let mut sizes = sizes.iter().copied().cycle();
        let pieces = core::iter::from_fn(|| {
            let size = sizes.next()?.min(rest.len());
            let (piece, behind) = rest.split_at(size);
            let is_over = rest.is_empty();
            rest = behind;
            (!is_over).then_some(piece)
        });
        first_of_list(&DEFAULT.scanner(DEFAULT_TEXT), Filter::Portable, pieces)
    }

    #[test]
    fn words_are_found_across_any_borders() {
        let scanner = DEFAULT.scanner(DEFAULT_TEXT);
        for rank in 0..200 {
            let padding = [b'.'; 300];
            let haystack = [&padding, scanner.word(rank), &padding].concat();
            let whole = scanner.first_of_list(&haystack, Filter::Portable);
            assert!(whole.is_some());
            for sizes in [
                &[1][..],
                &[2],
                &[3, 0, 1],
                &[7],
                &[301],
                &[300, 1],
                &[299, 2, 4],
                &[1_000],
            ] {
                assert_eq!(in_pieces(&haystack, sizes), whole, "word {rank}, {sizes:?}");
            }
        }
    }

    #[test]
    fn what_is_not_there_is_not_found() {
        let haystack = [b'.'; 1_500];
        for sizes in [&[1][..], &[254], &[255, 1], &[700]] {
            assert_eq!(in_pieces(&haystack, sizes), None);
        }
        // The halves of a word, but apart.
        assert_eq!(in_pieces(b"adm.in.adm", &[4]), None);
        assert_eq!(in_pieces(b"", &[4]), None);
    }
}

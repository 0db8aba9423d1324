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
mod tests;

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

//! Finding the salt of a connection in its first request, however that is cut into reads.

use abi::trial::{SALT_DIGITS, SALT_FIELD};

/// Where a search stands: behind so many bytes of the end of a line, the field's name, the colon and the digits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Search {
    /// How many; blanks are not among them.
    pub place: u8,
    /// The digits so far.
    pub digits: u64,
}

const NAME: &[u8] = SALT_FIELD.as_bytes();
/// The place of the colon, behind the end of the line before and the name.
const COLON: usize = 1 + NAME.len();
const FIRST_DIGIT: usize = COLON + 1;
const END: usize = FIRST_DIGIT + SALT_DIGITS;
const _: () = assert!(END < u8::MAX as usize);

impl Search {
    /// Goes on with one more piece of the stream. The salt, as soon as its last digit is there.
    pub fn find(&mut self, piece: &[u8]) -> Option<u64> {
        piece.iter().find_map(|byte| self.step(*byte))
    }

    fn step(&mut self, byte: u8) -> Option<u64> {
        let place = usize::from(self.place);
        let digit = char::from(byte).to_digit(16);
        let fits = match place {
            0 => byte == b'\n',
            1..COLON => NAME[place - 1].eq_ignore_ascii_case(&byte),
            COLON => byte == b':',
            FIRST_DIGIT if byte == b' ' || byte == b'\t' => return None,
            _ => digit.is_some(),
        };
        if !fits {
            // The end of a line is nowhere else in what is looked for: no other beginning is missed.
            self.place = u8::from(byte == b'\n');
            return None;
        }
        self.place += 1;
        if place >= FIRST_DIGIT {
            self.digits = self.digits << 4 | u64::from(digit.unwrap_or(0));
        } else {
            self.digits = 0;
        }
        if place + 1 < END {
            return None;
        }
        let salt = self.digits;
        *self = Self::default();
        Some(salt)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found_in(pieces: &[&[u8]]) -> Option<u64> {
        let mut search = Search::default();
        pieces.iter().find_map(|piece| search.find(piece))
    }

    const REQUEST: &[u8] =
        b"GET / HTTP/1.1\r\nHost: a\r\nX-Hookprobe-Salt: 00deadbeef123456\r\nA: b\r\n\r\n";

    #[test]
    fn a_salt_is_found_wherever_the_request_is_cut() {
        for first in 0..=REQUEST.len() {
            for second in first..=REQUEST.len() {
                let pieces = [
                    &REQUEST[..first],
                    &REQUEST[first..second],
                    &REQUEST[second..],
                ];
                assert_eq!(found_in(&pieces), Some(0x00de_adbe_ef12_3456), "{pieces:?}");
            }
        }
    }

    #[test]
    fn case_and_blanks_do_not_matter() {
        for field in [
            "x-hookprobe-salt:00000000000000ff",
            "X-HOOKPROBE-SALT: \t 00000000000000FF",
        ] {
            assert_eq!(found_in(&[b"\n", field.as_bytes()]), Some(255), "{field}");
        }
    }

    #[test]
    fn what_only_looks_like_a_salt_is_passed_over() {
        for text in [
            "X-Hookprobe-Salt: 0123456789abcdef", // not at the start of a line
            "\nX-Hookprobe-Salt: 0123456789abcde", // a digit short
            "\nX-Hookprobe-Salt: 0123456789abcdeg\n", // no digit
            "\nX-Hookprobe-Salt 0123456789abcdef\n", // no colon
            "\nY-X-Hookprobe-Salt: 0123456789abcdef\n", // another field
        ] {
            assert_eq!(found_in(&[text.as_bytes()]), None, "{text}");
        }
        let again = b"\nX-Hookprobe-Salt: 0123\nX-Hookprobe-S\nX-Hookprobe-Salt: 0000000000000007";
        assert_eq!(found_in(&[again]), Some(7));
    }
}

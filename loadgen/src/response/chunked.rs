//! Where a chunked body ends (RFC 9112, section 7.1).

use super::Failure;

/// The most bytes that the line before a chunk may have.
pub const MAX_LINE: usize = 4 * 1024;
/// The most bytes that the trailer may have.
pub const MAX_TRAILER: usize = 32 * 1024;

/// A place in a chunked body.
#[derive(Debug, Default)]
pub struct Chunks {
    place: Place,
    /// What the size line says, then the bytes of the chunk that are still to come.
    left: u64,
    /// Bytes of the size line or of the trailer so far.
    length: usize,
}

/// What comes next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Place {
    /// The first digit of a size.
    #[default]
    Size,
    /// A digit, or what ends the size.
    Digit,
    Extension,
    SizeLf,
    Data,
    DataCr,
    DataLf,
    /// A line of the trailer, or the empty line.
    Line,
    InLine,
    LineLf,
    EmptyLf,
    End,
}

impl Chunks {
    /// Reads on. Returns how many of the bytes belong to the body, and whether it is complete with them.
    pub fn read(&mut self, bytes: &[u8]) -> Result<(usize, bool), Failure> {
        let mut used = 0;
        while let Some(&byte) = bytes.get(used) {
            if self.place == Place::Data {
                let rest = bytes.len() - used;
                let length = rest.min(usize::try_from(self.left).unwrap_or(usize::MAX));
                self.left -= length as u64;
                used += length;
                if self.left == 0 {
                    self.place = Place::DataCr;
                }
                continue;
            }
            used += 1;
            self.place = self.next(byte).ok_or(Failure::BadChunk)?;
            if self.place == Place::End {
                return Ok((used, true));
            }
        }
        Ok((used, false))
    }

    /// The place behind a byte that is not data. None when the byte must not stand here.
    fn next(&mut self, byte: u8) -> Option<Place> {
        self.length += 1;
        let limit = match self.place {
            Place::Line | Place::InLine | Place::LineLf | Place::EmptyLf => MAX_TRAILER,
            _ => MAX_LINE,
        };
        if self.length > limit {
            return None;
        }
        match (self.place, byte) {
            (Place::Size | Place::Digit, byte) if byte.is_ascii_hexdigit() => {
                let digit = u64::from(char::from(byte).to_digit(16)?);
                self.left = self.left.checked_mul(16)? + digit;
                Some(Place::Digit)
            }
            (Place::Digit | Place::Extension, b'\r') => Some(Place::SizeLf),
            (Place::Digit, b';' | b' ' | b'\t') => Some(Place::Extension),
            (Place::Extension, byte) if is_text(byte) => Some(Place::Extension),
            (Place::SizeLf, b'\n') => {
                self.length = 0;
                Some(if self.left == 0 {
                    Place::Line
                } else {
                    Place::Data
                })
            }
            (Place::DataCr, b'\r') => Some(Place::DataLf),
            (Place::DataLf, b'\n') => {
                self.length = 0;
                Some(Place::Size)
            }
            (Place::Line, b'\r') => Some(Place::EmptyLf),
            (Place::InLine, b'\r') => Some(Place::LineLf),
            (Place::Line | Place::InLine, byte) if is_text(byte) => Some(Place::InLine),
            (Place::LineLf, b'\n') => Some(Place::Line),
            (Place::EmptyLf, b'\n') => Some(Place::End),
            _ => None,
        }
    }
}

/// What extensions and fields may have in them.
fn is_text(byte: u8) -> bool {
    byte == b'\t' || !byte.is_ascii_control()
}

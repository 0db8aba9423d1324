//! A line of text in a fixed buffer: what is said without an allocator.

use core::fmt;

/// Bytes a line can hold; longer text is cut.
const CAPACITY: usize = 512;

/// Text under construction. `write!` to it, then take [`Line::as_bytes`].
#[derive(Debug)]
pub struct Line {
    bytes: [u8; CAPACITY],
    length: usize,
}

impl Default for Line {
    fn default() -> Self {
        Self::new()
    }
}

impl Line {
    /// An empty line.
    pub const fn new() -> Self {
        Self {
            bytes: [0; CAPACITY],
            length: 0,
        }
    }

    /// What was written so far.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }

    /// Appends bytes as they are, as far as they fit.
    pub fn push(&mut self, bytes: &[u8]) {
        let fitting = bytes.len().min(CAPACITY - self.length);
        self.bytes[self.length..][..fitting].copy_from_slice(&bytes[..fitting]);
        self.length += fitting;
    }

    /// Appends a number.
    pub fn push_decimal(&mut self, mut number: u64) {
        let mut digits = [0; 20];
        let mut first = digits.len();
        loop {
            first -= 1;
            digits[first] = b'0' + u8::try_from(number % 10).unwrap_or(0);
            number /= 10;
            if number == 0 {
                break;
            }
        }
        self.push(&digits[first..]);
    }

    /// Appends a number as 16 digits.
    pub fn push_hexadecimal(&mut self, number: u64) {
        let digits: [u8; 16] = core::array::from_fn(|index| {
            b"0123456789abcdef"[(number >> (60 - 4 * index) & 15) as usize]
        });
        self.push(&digits);
    }
}

impl fmt::Write for Line {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.push(text.as_bytes());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use core::fmt::Write as _;

    use super::*;

    #[test]
    fn numbers_are_written_as_the_standard_library_writes_them() {
        for number in [0, 7, 10, 255, 1_234_567_890, u64::MAX] {
            let mut line = Line::new();
            line.push_decimal(number);
            line.push(b" ");
            line.push_hexadecimal(number);
            assert_eq!(
                line.as_bytes(),
                format!("{number} {number:016x}").as_bytes()
            );
        }
    }

    #[test]
    fn text_is_kept_and_cut_at_the_capacity() {
        let mut line = Line::new();
        write!(line, "fd={} word=", 7).unwrap();
        line.push(b"en\xff");
        assert_eq!(line.as_bytes(), b"fd=7 word=en\xff");
        line.push(&[b'x'; 2 * CAPACITY]);
        assert_eq!(line.as_bytes().len(), CAPACITY);
    }
}

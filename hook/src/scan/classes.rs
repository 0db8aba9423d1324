//! A filter on the first three bytes of a word, in a form that vector instructions look up: for each
//! byte and each of its two nibbles, which of eight classes of words allow it there.
//!
//! A position passes when one class allows all six nibbles. Each class is the box around its words, so
//! some positions pass without need; words are put where the boxes grow the least. The idea is Teddy's,
//! of Intel's Hyperscan (Wang et al., NSDI 2019).

/// Classes: as many as a byte has bits.
const CLASSES: usize = 8;
/// Nibbles that are looked at: low and high, of three bytes.
const NIBBLES: usize = 6;

/// For low and high nibble of three bytes, the classes that allow each value, a bit a class.
pub struct Classes {
    pub(super) allowing: [[u8; 16]; NIBBLES],
}

impl Classes {
    /// Allows nothing.
    pub const NOTHING: Self = Self {
        allowing: [[0; 16]; NIBBLES],
    };
}

/// What a word starts with.
#[derive(Clone, Copy)]
pub struct Start {
    nibbles: [usize; NIBBLES],
    /// The word has two bytes: the third, of the haystack, may be any.
    any_third: bool,
}

impl Start {
    /// Of a word by its first three bytes, the first lowest.
    pub const fn new(head: u64, any_third: bool) -> Self {
        let mut nibbles = [0; NIBBLES];
        let mut at = 0;
        while at < NIBBLES {
            nibbles[at] = (head >> (4 * at) & 15) as usize;
            at += 1;
        }
        Self { nibbles, any_third }
    }

    const fn is_any(&self, at: usize) -> bool {
        self.any_third && at >= 4
    }
}

/// Classes in the making.
pub struct Boxes {
    /// For each class, nibble and value, how many words have it.
    words: [[[u16; 16]; NIBBLES]; CLASSES],
    /// How many values there are.
    values: [[u32; NIBBLES]; CLASSES],
}

impl Boxes {
    /// No words.
    pub const fn new() -> Self {
        Self {
            words: [[[0; 16]; NIBBLES]; CLASSES],
            values: [[0; NIBBLES]; CLASSES],
        }
    }

    /// Adds a word to the class whose box grows the least; returns the class.
    pub const fn add(&mut self, start: Start) -> usize {
        let mut best = 0;
        let mut least = u32::MAX;
        let mut class = 0;
        while class < CLASSES {
            let growth = self.growth(class, start);
            if growth < least {
                (best, least) = (class, growth);
            }
            class += 1;
        }
        self.change(best, start, true);
        best
    }

    /// Takes a word out of the class that it was added to.
    pub const fn remove(&mut self, class: usize, start: Start) {
        self.change(class, start, false);
    }

    /// How many threes of bytes more a class would allow.
    const fn growth(&self, class: usize, start: Start) -> u32 {
        let mut before = 1;
        let mut after = 1;
        let mut at = 0;
        while at < NIBBLES {
            let values = self.values[class][at];
            before *= values;
            after *= if start.is_any(at) {
                16
            } else if self.words[class][at][start.nibbles[at]] == 0 {
                values + 1
            } else {
                values
            };
            at += 1;
        }
        after - before
    }

    const fn change(&mut self, class: usize, start: Start, is_added: bool) {
        let mut at = 0;
        while at < NIBBLES {
            let mut value = 0;
            while value < 16 {
                if start.is_any(at) || value == start.nibbles[at] {
                    let words = &mut self.words[class][at][value];
                    if is_added {
                        self.values[class][at] += (*words == 0) as u32;
                        *words += 1;
                    } else {
                        *words -= 1;
                        self.values[class][at] -= (*words == 0) as u32;
                    }
                }
                value += 1;
            }
            at += 1;
        }
    }

    /// The classes as they are now.
    pub const fn classes(&self) -> Classes {
        let mut classes = Classes::NOTHING;
        let mut class = 0;
        while class < CLASSES {
            let mut at = 0;
            while at < NIBBLES {
                let mut value = 0;
                while value < 16 {
                    if self.words[class][at][value] > 0 {
                        classes.allowing[at][value] |= 1 << class;
                    }
                    value += 1;
                }
                at += 1;
            }
            class += 1;
        }
        classes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start(word: [u8; 3], any_third: bool) -> Start {
        let [a, b, c] = word;
        Start::new(u64::from_le_bytes([a, b, c, 0, 0, 0, 0, 0]), any_third)
    }

    fn allows(boxes: &Boxes, bytes: [u8; 3]) -> bool {
        let Classes { allowing } = boxes.classes();
        let mut all = 0xff;
        for (at, byte) in bytes.into_iter().enumerate() {
            all &= allowing[2 * at][usize::from(byte & 15)];
            all &= allowing[2 * at + 1][usize::from(byte >> 4)];
        }
        all != 0
    }

    #[test]
    fn what_was_added_is_allowed_and_most_else_is_not() {
        let words = [*b"abc", *b"xyz", *b".ht", [0, 1, 2], [0xff, 0xfe, 0]];
        let mut boxes = Boxes::new();
        for word in words {
            boxes.add(start(word, false));
        }
        assert!(words.iter().all(|word| allows(&boxes, *word)));
        assert!(!allows(&boxes, *b"abd"));
        assert!(!allows(&boxes, *b"xbc"), "words have classes of their own");
    }

    #[test]
    fn what_was_removed_is_allowed_no_more() {
        let mut boxes = Boxes::new();
        let class = boxes.add(start(*b"abc", false));
        assert_eq!(
            boxes.add(start(*b"abc", false)),
            class,
            "it grows by nothing there"
        );
        boxes.remove(class, start(*b"abc", false));
        assert!(allows(&boxes, *b"abc"), "the other is still there");
        boxes.remove(class, start(*b"abc", false));
        assert!(!allows(&boxes, *b"abc"));
        assert_eq!(boxes.values, Boxes::new().values);
    }

    #[test]
    fn words_of_two_bytes_allow_any_third() {
        let mut boxes = Boxes::new();
        boxes.add(start(*b"en\0", true));
        assert!((0..=255).all(|third| allows(&boxes, [b'e', b'n', third])));
        assert!(!allows(&boxes, *b"eoa"));
        assert!(!allows(&boxes, *b"dna"));
    }
}

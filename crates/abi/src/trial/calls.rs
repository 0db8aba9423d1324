//! One call that was bracketed, as a record of eight words in shared memory.
//!
//! Several writers may write to one slot, and each may die in the middle; so a record carries the number under which it
//! was written, and a checksum over all its words and that number. Whoever reads trusts nothing else.

use zerocopy::{FromBytes, IntoBytes};

/// Words of a record.
pub const WORDS: usize = 8;

/// A bracketed call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Call {
    /// Salt of the connection.
    pub salt: u64,
    /// Which request of the connection the call read from, from 0.
    pub ordinal: u32,
    /// Number of the arm.
    pub arm: u8,
    /// Which function was called: 0 `read`, 1 `recv`, 2 `recvfrom`, 3 `recvmsg`, 4 `readv`, or [`Call::ANSWER`].
    pub function: u8,
    /// [`Call::REACHED_BACK`] and others.
    pub flags: u16,
    /// Front entered.
    pub enter_ns: u64,
    /// The call came back from back, and so from the C library; without [`Call::REACHED_BACK`], front's own instant before
    /// it called.
    pub back_exit_ns: u64,
    /// From `enter_ns` to the entry of back.
    pub to_back_ns: u32,
    /// From `back_exit_ns` to the return of the hook, without the delay of the arm.
    pub from_back_ns: u32,
    /// How long the delay of the arm lasted, measured.
    pub waited_ns: u32,
    /// Bytes that the call returned. 0 if it found nothing left of a request that had begun.
    pub returned: u32,
}

impl Call {
    /// The server writes to the connection, at the instant of entry: where requests have no size, so that the load generator need
    /// not know of the trial.
    pub const ANSWER: u8 = 5;

    /// Back was called for this descriptor.
    pub const REACHED_BACK: u16 = 1;
    /// Back was called more than once: `to_back_ns` is up to the first entry, `back_exit_ns` is the last return.
    pub const SEVERAL_INNER: u16 = 2;
    /// The arm was drawn anew at this call: it is the first of its request.
    pub const FRESH: u16 = 4;

    /// The record under this number.
    #[inline]
    pub fn encode(&self, number: u64) -> Slot {
        let pair = |high: u32, low: u32| u64::from(high) << 32 | u64::from(low);
        let place =
            u32::from(self.arm) << 24 | u32::from(self.function) << 16 | u32::from(self.flags);
        let words = [
            self.salt,
            pair(self.ordinal, place),
            self.enter_ns,
            self.back_exit_ns,
            pair(self.to_back_ns, self.from_back_ns),
            pair(self.waited_ns, self.returned),
        ];
        Slot {
            sequence: complete(number),
            words,
            checksum: checksum(&words, number),
        }
    }
}

/// A slot, as it lies in memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes)]
#[repr(C)]
pub struct Slot {
    /// [`begun`] while the record is being written, [`complete`] afterwards, 0 when never.
    pub sequence: u64,
    /// The record.
    pub words: [u64; WORDS - 2],
    /// Over the words and the number.
    pub checksum: u64,
}

impl Slot {
    /// The record with this number, if that is what is here, whole.
    pub fn decode(&self, number: u64) -> Option<Call> {
        let is_whole =
            self.sequence == complete(number) && self.checksum == checksum(&self.words, number);
        let [salt, place, enter_ns, back_exit_ns, spans, ends] = is_whole.then_some(self.words)?;
        let high = |word: u64| (word >> 32) as u32;
        let low = |word: u64| (word & 0xffff_ffff) as u32;
        let [flags_low, flags_high, function, arm] = low(place).to_le_bytes();
        Some(Call {
            salt,
            ordinal: high(place),
            arm,
            function,
            flags: u16::from_le_bytes([flags_low, flags_high]),
            enter_ns,
            back_exit_ns,
            to_back_ns: high(spans),
            from_back_ns: low(spans),
            waited_ns: high(ends),
            returned: low(ends),
        })
    }
}

/// The sequence of a slot while the record with this number is being written.
#[inline]
pub const fn begun(number: u64) -> u64 {
    number.wrapping_mul(2).wrapping_add(1)
}

/// The sequence of a slot that holds the record with this number.
#[inline]
pub const fn complete(number: u64) -> u64 {
    number.wrapping_mul(2).wrapping_add(2)
}

/// Each word changes it, wherever it stands, and so does the number.
#[inline]
fn checksum(words: &[u64; WORDS - 2], number: u64) -> u64 {
    let mut sum = number ^ 0x9e37_79b9_7f4a_7c15;
    for word in words {
        sum = (sum ^ word)
            .wrapping_mul(0xbf58_476d_1ce4_e5b9)
            .rotate_left(29);
    }
    sum
}

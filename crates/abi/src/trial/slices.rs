//! Arms by slices of time: all requests of a while have one arm (a switchback design).
//!
//! With more than one connection a request's arm has an effect on the requests that wait behind it. So what a hook costs
//! everyone shows only while all requests have it. Which arm a moment belongs to follows from the clock alone: both sides
//! know it, nobody tells anybody, and edges are exact.
//!
//! A *round* has one slice of each arm, in an order drawn anew. Two rounds make a *turn*: the slices of one have the trial's
//! length, those of the other twice that, and which comes first is drawn too. What the length of a slice does to the result
//! so shows in every run.

use super::{Arm, GOLDEN, MAX_ARMS, Trial, mix};

/// Slices are drawn apart from arms of requests, and from salts.
const SLICE_KEY: u64 = 0x736c_6963_6566_6870;

/// Lengths that the shorter slices may have, ns.
pub const LENGTHS_NS: core::ops::RangeInclusive<u64> = 1_000_000..=60_000_000_000;

/// How time is cut into slices: by instants of the clock that front reads, `CLOCK_MONOTONIC`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slices {
    key: u64,
    arms: usize,
    /// Length of the shorter slices.
    pub slice_ns: u64,
}

/// A slice of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slice {
    /// Number of its round. Those of a turn are 2n and 2n + 1.
    pub round: u64,
    /// Number of the arm that requests have in it.
    pub arm: usize,
    /// Its first instant.
    pub begin_ns: u64,
    /// The first instant behind it.
    pub end_ns: u64,
}

impl Slices {
    /// How many of the shorter slices a turn has of each arm: one, and one twice as long.
    pub const UNITS_OF_AN_ARM: u32 = 3;

    /// Those of a trial that has any.
    pub fn of(trial: &Trial) -> Option<Self> {
        (trial.slice_ns > 0).then(|| Self {
            key: mix(trial.seed ^ SLICE_KEY),
            arms: trial.arms().len(),
            slice_ns: trial.slice_ns,
        })
    }

    /// How many of the shortest slices have passed at an instant. The arm changes with this number alone.
    #[inline]
    pub const fn unit(&self, now_ns: u64) -> u64 {
        now_ns / self.slice_ns
    }

    /// How long a turn takes: each arm has a slice of the one length and one of the other.
    pub const fn turn_ns(&self) -> u64 {
        Self::UNITS_OF_AN_ARM as u64 * self.arms as u64 * self.slice_ns
    }

    /// Where a round begins and ends.
    pub fn bounds_ns(&self, round: u64) -> [u64; 2] {
        let length_ns = |round| self.units_of(round) * self.arms as u64 * self.slice_ns;
        let turn_ns = round / 2 * self.turn_ns();
        let begin_ns = match round % 2 {
            0 => turn_ns,
            _ => turn_ns + length_ns(round - 1),
        };
        [begin_ns, begin_ns + length_ns(round)]
    }

    /// Whether a round has the longer slices of its turn: the coin that is drawn for the turn decides about its first round.
    pub const fn is_long(&self, round: u64) -> bool {
        let coin = mix(self.key.wrapping_add((round / 2).wrapping_mul(GOLDEN))) & 1;
        coin != round & 1
    }

    /// How many of the shortest slices each slice of a round takes.
    const fn units_of(&self, round: u64) -> u64 {
        if self.is_long(round) { 2 } else { 1 }
    }

    /// The slice at an instant.
    pub fn at(&self, now_ns: u64) -> Slice {
        let [arms, unit] = [self.arms as u64, self.unit(now_ns)];
        let units = u64::from(Self::UNITS_OF_AN_ARM) * arms;
        let (turn, place) = (unit / units, unit % units);
        let first_units = arms * self.units_of(2 * turn);
        let (round, place) = match place.checked_sub(first_units) {
            None => (2 * turn, place),
            Some(place) => (2 * turn + 1, place),
        };
        let units = self.units_of(round);
        let index = place / units;
        let begin_ns = (unit - place % units) * self.slice_ns;
        Slice {
            round,
            arm: self.order(round)[usize::try_from(index).unwrap_or(0) % MAX_ARMS].into(),
            begin_ns,
            end_ns: begin_ns + units * self.slice_ns,
        }
    }

    /// The order of the arms in a round: a shuffle by Fisher and Yates.
    fn order(&self, round: u64) -> [u8; MAX_ARMS] {
        let mut order = [0; MAX_ARMS];
        for (place, arm) in (0..).zip(order.iter_mut()) {
            *arm = place;
        }
        let mut draws = self.key ^ mix(round.wrapping_add(1));
        for last in (1..self.arms).rev() {
            draws = mix(draws.wrapping_add(GOLDEN));
            let place = ((draws >> 32) * (last as u64 + 1)) >> 32;
            order.swap(last, usize::try_from(place).unwrap_or(0));
        }
        order
    }
}

impl Trial {
    /// The same trial with arms by slices of so many nanoseconds, and twice as many.
    pub fn by_slices(self, slice_ns: u64) -> Self {
        Self { slice_ns, ..self }
    }

    /// The same trial by slices of requests that have any number of bytes, and no salt.
    pub fn of_any_size(self) -> Self {
        Self { size: 0, ..self }
    }

    /// Whether requests have any number of bytes, as somebody else sends them: servers alone tell of these.
    pub const fn is_of_any_size(&self) -> bool {
        self.size == 0
    }

    /// Whether requests have an arm because of when they come, and not each for itself.
    pub const fn is_by_slices(&self) -> bool {
        self.slice_ns > 0
    }

    /// Number of the arm `off`.
    pub fn off(&self) -> Option<usize> {
        self.arms().iter().position(|arm| *arm == Arm::Off)
    }
}

#[cfg(test)]
mod tests;

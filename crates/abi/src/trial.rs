//! A trial: which arm a request belongs to. Client and server compute it apart, from the same text.
//!
//! Arms are drawn request by request, within one process of the server: by a keyed hash of the trial's seed, the salt
//! of the connection, and the ordinal of the request on it. Requests have one size, so an ordinal is a place in the
//! connection's stream. The first request of a connection carries the salt in a header field ([`SALT_FIELD`]), belongs to
//! no arm, and goes past the hook.
//!
//! Arms may go by slices of time instead ([`slices`]): all requests of a while have one.

pub mod calls;
pub mod shared;
pub mod slices;

#[cfg(test)]
mod tests;

use core::ffi::CStr;
use core::fmt;

/// The environment variable that holds the text of a [`Trial`], for the server's side.
pub const VARIABLE: &CStr = c"HOOKPROBE_TRIAL";
/// The environment variable that holds the number of an inherited descriptor: of a [`shared::Shared`].
pub const RECORDS_VARIABLE: &CStr = c"HOOKPROBE_RECORDS";

/// The most arms of a trial.
pub const MAX_ARMS: usize = 16;
/// The longest delay of an arm.
pub const MAX_DELAY_NS: u64 = 1_000_000_000;
/// Sizes that requests may have.
pub const SIZES: core::ops::RangeInclusive<u32> = 64..=1 << 20;
/// The longest run of requests to one arm.
pub const MAX_RUN: u32 = 1 << 20;

/// Name of the header field that carries the salt. On the wire `: `, [`SALT_DIGITS`] lower-case hexadecimal digits and the
/// end of the line follow. Names of header fields may change their case on the way.
pub const SALT_FIELD: &str = "X-Hookprobe-Salt";
/// Digits of a salt.
pub const SALT_DIGITS: usize = 16;

/// What happens to a call of one arm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arm {
    /// It goes past the hook.
    Off,
    /// It goes past the hook, by the entry of the table that [`Arm::On`] has there: a fault of the dispatch shows.
    Null,
    /// It goes to the hook.
    On,
    /// It goes to the hook, and waits so long when that has returned what was read.
    Spiked {
        /// How long.
        delay_ns: u64,
    },
}

impl Arm {
    /// Whether the hook is called.
    pub const fn is_hooked(self) -> bool {
        matches!(self, Self::On | Self::Spiked { .. })
    }

    /// How long a call waits.
    pub const fn delay_ns(self) -> u64 {
        match self {
            Self::Spiked { delay_ns } => delay_ns,
            _ => 0,
        }
    }
}

impl fmt::Display for Arm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Off => f.write_str("off"),
            Self::Null => f.write_str("null"),
            Self::On => f.write_str("on"),
            Self::Spiked { delay_ns } => write!(f, "on+{delay_ns}"),
        }
    }
}

/// A trial, as both sides know it.
///
/// Its text is `seed=1 size=256 run=1 arms=off,null,on,on+1000`, in any order; `run` may be left out. With
/// `slice=20000000` arms go by slices of time, and the size may be left out, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trial {
    /// Of the draw.
    pub seed: u64,
    /// Bytes of each request. 0 if they have any number: then there is no salt, and no request without an arm.
    pub size: u32,
    /// Requests of a connection that are drawn together: 1 draws each by itself.
    pub run: u32,
    /// Length of the shorter slices of time, ns; 0 if arms are drawn by request.
    pub slice_ns: u64,
    arms: [Arm; MAX_ARMS],
    count: usize,
}

/// Why a text is no trial.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Problem {
    /// A word that is none of `seed=`, `size=`, `run=`, `slice=`, `arms=`, or is there twice.
    Word,
    /// The seed is missing or no number.
    Seed,
    /// The size is missing or out of its range.
    Size,
    /// The run is out of its range, or there are slices.
    Run,
    /// The length of slices is out of its range.
    Slice,
    /// The arms are missing, too many, or unknown.
    Arms,
    /// There is no arm `off`, or no arm `on`.
    Incomplete,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Word => f.write_str(
                "expected seed=, size=, run= or slice=, and arms=, each once, with blanks between",
            ),
            Self::Seed => f.write_str("seed= must be a whole number"),
            Self::Size => write!(
                f,
                "size= must be from {} to {} bytes",
                SIZES.start(),
                SIZES.end()
            ),
            Self::Run => write!(
                f,
                "run= must be from 1 to {MAX_RUN} requests, and 1 with slice="
            ),
            Self::Slice => write!(
                f,
                "slice= must be from {} to {} ns",
                slices::LENGTHS_NS.start(),
                slices::LENGTHS_NS.end()
            ),
            Self::Arms => write!(
                f,
                "arms= must name up to {MAX_ARMS} of off, null, on, and on+N for N ns more (at most {MAX_DELAY_NS}), each once, with commas between"
            ),
            Self::Incomplete => f.write_str("arms= must name off and on"),
        }
    }
}

impl core::error::Error for Problem {}

impl Trial {
    /// A trial with these arms.
    pub fn new(seed: u64, size: u32, run: u32, arms: &[Arm]) -> Result<Self, Problem> {
        if !SIZES.contains(&size) {
            return Err(Problem::Size);
        }
        if !(1..=MAX_RUN).contains(&run) {
            return Err(Problem::Run);
        }
        let mut table = [Arm::Off; MAX_ARMS];
        let Some(places) = table.get_mut(..arms.len()) else {
            return Err(Problem::Arms);
        };
        places.copy_from_slice(arms);
        let is_twice = |(index, arm)| arms.iter().take(index).any(|other| other == arm);
        let is_too_long = |arm: &Arm| arm.delay_ns() > MAX_DELAY_NS;
        if arms.iter().enumerate().any(is_twice) || arms.iter().any(is_too_long) {
            return Err(Problem::Arms);
        }
        if !arms.contains(&Arm::Off) || !arms.contains(&Arm::On) {
            return Err(Problem::Incomplete);
        }
        Ok(Self {
            seed,
            size,
            run,
            slice_ns: 0,
            arms: table,
            count: arms.len(),
        })
    }

    /// Reads its text.
    pub fn parse(text: &[u8]) -> Result<Self, Problem> {
        let [mut seed, mut size, mut run, mut slice, mut arms] = [None; 5];
        let words = text.split(|byte| *byte == b' ');
        for word in words.filter(|word| !word.is_empty()) {
            let (place, value) = if let Some(value) = word.strip_prefix(b"seed=") {
                (&mut seed, value)
            } else if let Some(value) = word.strip_prefix(b"size=") {
                (&mut size, value)
            } else if let Some(value) = word.strip_prefix(b"run=") {
                (&mut run, value)
            } else if let Some(value) = word.strip_prefix(b"slice=") {
                (&mut slice, value)
            } else if let Some(value) = word.strip_prefix(b"arms=") {
                (&mut arms, value)
            } else {
                return Err(Problem::Word);
            };
            if place.replace(value).is_some() {
                return Err(Problem::Word);
            }
        }
        let seed = seed.and_then(number).ok_or(Problem::Seed)?;
        let slice_ns = match slice.map(number) {
            None => 0,
            Some(Some(slice_ns)) if slices::LENGTHS_NS.contains(&slice_ns) => slice_ns,
            Some(_) => return Err(Problem::Slice),
        };
        let is_any_size = slice_ns > 0 && size.is_none();
        let size = if is_any_size {
            u64::from(*SIZES.start())
        } else {
            size.and_then(number).ok_or(Problem::Size)?
        };
        let size = u32::try_from(size).map_err(|_| Problem::Size)?;
        let run = run.map_or(Some(1), number).ok_or(Problem::Run)?;
        if slice_ns > 0 && run != 1 {
            return Err(Problem::Run);
        }
        let run = u32::try_from(run).map_err(|_| Problem::Run)?;
        let mut table = [Arm::Off; MAX_ARMS];
        let mut count = 0;
        for name in arms.ok_or(Problem::Arms)?.split(|byte| *byte == b',') {
            let place = table.get_mut(count).ok_or(Problem::Arms)?;
            *place = arm(name).ok_or(Problem::Arms)?;
            count += 1;
        }
        let trial = Self::new(seed, size, run, table.get(..count).unwrap_or_default())?;
        Ok(Self {
            slice_ns,
            size: if is_any_size { 0 } else { size },
            ..trial
        })
    }

    /// The arms, in the order of their numbers.
    #[inline]
    pub fn arms(&self) -> &[Arm] {
        self.arms.get(..self.count).unwrap_or_default()
    }

    /// Number of the arm of a request of a connection; `None` for the first, which carries the salt.
    #[inline]
    pub fn arm_of(&self, salt: u64, ordinal: u64) -> Option<usize> {
        let drawn = ordinal.checked_sub(1)? / u64::from(self.run);
        let key = mix(self.seed ^ ARM_KEY) ^ mix(salt);
        let hash = mix(key.wrapping_add(drawn.wrapping_mul(GOLDEN)));
        // The high half, scaled to the number of arms: Lemire, ACM TOMACS 2019, without its correction of a bias that
        // is below 2^-28 here.
        let arm = ((hash >> 32) * self.count as u64) >> 32;
        usize::try_from(arm).ok()
    }

    /// The salt of a connection of the client: no two of a run have the same, and none is 0.
    pub fn salt(&self, connection: u32) -> u64 {
        let place = u64::from(connection).wrapping_add(1).wrapping_mul(GOLDEN);
        mix((self.seed ^ SALT_KEY).wrapping_add(place)).max(1)
    }
}

impl fmt::Display for Trial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            seed,
            size,
            run,
            slice_ns,
            ..
        } = self;
        write!(f, "seed={seed}")?;
        if *size > 0 {
            write!(f, " size={size}")?;
        }
        match slice_ns {
            0 => write!(f, " run={run}")?,
            slice_ns => write!(f, " slice={slice_ns}")?,
        }
        f.write_str(" arms=")?;
        for (number, arm) in self.arms().iter().enumerate() {
            if number > 0 {
                f.write_str(",")?;
            }
            write!(f, "{arm}")?;
        }
        Ok(())
    }
}

const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;
/// Arms and salts are drawn apart.
const ARM_KEY: u64 = 0x6172_6d73_6f66_6870;
const SALT_KEY: u64 = 0x7361_6c74_7366_6870;

/// The finalizer of SplitMix64 (Steele, Lea, Flood, OOPSLA 2014): a bijection on 64 bits.
#[inline]
pub const fn mix(seed: u64) -> u64 {
    let z = (seed ^ (seed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

fn arm(name: &[u8]) -> Option<Arm> {
    match name {
        b"off" => Some(Arm::Off),
        b"null" => Some(Arm::Null),
        b"on" => Some(Arm::On),
        _ => {
            let delay_ns = number(name.strip_prefix(b"on+")?)?;
            (1..=MAX_DELAY_NS)
                .contains(&delay_ns)
                .then_some(Arm::Spiked { delay_ns })
        }
    }
}

/// A number of digits alone, without leading zeros: the text of a trial is then one.
fn number(digits: &[u8]) -> Option<u64> {
    let is_plain = digits.iter().all(u8::is_ascii_digit)
        && (digits.len() == 1 || digits.first() != Some(&b'0'));
    let digits = is_plain.then_some(digits)?;
    core::str::from_utf8(digits).ok()?.parse().ok()
}

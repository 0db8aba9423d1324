//! The requests of a trial: of one size, the first of each connection with its salt, each of an arm that follows from
//! its place in the connection's stream, or from the slice of time in which it is sent.

use std::sync::Arc;

use abi::trial::slices::Slices;
use abi::trial::{SALT_DIGITS, SALT_FIELD, Trial};
use anyhow::{Context as _, bail};
use http::HeaderName;
use runlog::record::Request;

use super::{field, put_field};
use crate::clock::ServerClock;

/// Name of the header field that fills a request up to the trial's size. Like that of the salt it has no word of the hook's
/// list in it: a hook that looks for such words is to find those of the request.
const PADDING_FIELD: &str = "X-Hookprobe-Fill";

/// How the requests of a trial get their arms.
#[derive(Clone, Debug)]
pub struct Draw {
    trial: Trial,
    /// Its slices of time, if arms go by these.
    slices: Option<Slices>,
    /// What these are cut by.
    clock: ServerClock,
    /// Number of the arm `off`, with which the first requests of connections are logged.
    off: u16,
    /// Where the digits of the salt are in a request.
    salt_at: usize,
}

impl Draw {
    /// Makes a complete request one of the trial: puts the fields of salt and padding in front of its others.
    pub fn new(trial: &Trial, bytes: &mut Vec<u8>) -> anyhow::Result<Self> {
        let salt = [b'0'; SALT_DIGITS];
        let least = bytes.len() + field(SALT_FIELD, &salt).len();
        let size = trial.size as usize;
        if size != least {
            let padded = least + field(PADDING_FIELD, b"").len();
            let Some(missing) = size.checked_sub(padded) else {
                bail!(
                    "--trial: size={size} does not fit: with its salt the request has {least} bytes, and with padding \
                     {padded} or more; give size={padded} or more"
                );
            };
            put_field(bytes, PADDING_FIELD, &vec![b'x'; missing]);
        }
        Ok(Self {
            trial: *trial,
            slices: Slices::of(trial),
            clock: ServerClock::default(),
            off: trial.off().context("a trial has an arm off")?.try_into()?,
            salt_at: put_field(bytes, SALT_FIELD, &salt),
        })
    }

    /// The same, with slices of time by this clock.
    pub fn by_clock(self, clock: &ServerClock) -> Self {
        Self {
            clock: clock.clone(),
            ..self
        }
    }

    /// Says the arm of a request whose connection and first byte are known, and returns its bytes: those of all
    /// requests, or if it is the first of its connection, its own. By slices of time, its arm is that of this instant.
    pub fn take(&self, request: &mut Request, bytes: &Arc<[u8]>) -> Arc<[u8]> {
        let salt = self.trial.salt(request.connection);
        let ordinal = request.first_byte / u64::from(self.trial.size);
        let drawn = self.trial.arm_of(salt, ordinal);
        let sliced = |slices: Slices| slices.at(self.clock.now_ns()).arm;
        if let Some(arm) = drawn.map(|arm| self.slices.map_or(arm, sliced)) {
            request.arm = u16::try_from(arm).unwrap_or(u16::MAX); // there are no more than 16
            return Arc::clone(bytes);
        }
        request.arm = self.off;
        request.flags |= Request::WARMUP;
        let mut own: Arc<[u8]> = Arc::from(&bytes[..]);
        let digits = format!("{salt:0SALT_DIGITS$x}");
        if let Some(own) = Arc::get_mut(&mut own) {
            own[self.salt_at..][..SALT_DIGITS].copy_from_slice(digits.as_bytes());
        }
        own
    }
}

/// Whether the trial writes the header field of this name itself.
pub fn is_reserved(name: &HeaderName) -> bool {
    [SALT_FIELD, PADDING_FIELD]
        .iter()
        .any(|reserved| name.as_str().eq_ignore_ascii_case(reserved))
}

#[cfg(test)]
mod tests;

//! Histograms inside JSON, in full: what those of several nodes are merged from without a loss.
//!
//! The text is what `HdrHistogram`'s tools read and write, also in the lines of its interval logs: format V2,
//! compressed, in base64. Empty buckets take no room, so that one with some hundred values is half a kilobyte.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::{Deserializer, Serializer as _, V2DeflateSerializer};
use serde::{Deserialize, Serialize};

use crate::interval_log::new_histogram;

/// Spans of one kind: each bucket, and their sum.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Exact {
    /// Exact sum, in nanoseconds.
    pub sum_ns: u64,
    /// How many spans are in each bucket, in nanoseconds: an `HdrHistogram` in format V2, compressed, in base64.
    pub histogram: String,
}

/// Why a text is no histogram of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotOurs {
    /// It is none at all.
    #[error("holds a histogram that cannot be read (HdrHistogram, V2 compressed, base64)")]
    Unreadable,
    /// It has other buckets: values would have to move to be added to ours.
    #[error(
        "holds a histogram with other buckets or of another unit ({digits} digits up to {highest}); hookprobe's \
         have {} up to {} ns",
        crate::interval_log::SIGNIFICANT_DIGITS,
        crate::interval_log::MAX_VALUE_NS
    )]
    OtherBuckets {
        /// Significant digits.
        digits: u8,
        /// The largest value that it tells apart.
        highest: u64,
    },
}

impl Exact {
    /// Writes a histogram down. `None` is never seen: the layout is one that the format has.
    pub fn of(histogram: &Histogram<u64>, sum_ns: u64) -> Option<Self> {
        let mut bytes = Vec::new();
        V2DeflateSerializer::new()
            .serialize(histogram, &mut bytes)
            .ok()?;
        Some(Self {
            sum_ns,
            histogram: BASE64.encode(bytes),
        })
    }

    /// Reads the histogram.
    ///
    /// # Errors
    ///
    /// If it is none, or one whose buckets are not ours.
    pub fn read(&self) -> Result<Histogram<u64>, NotOurs> {
        let bytes = BASE64.decode(&self.histogram);
        let bytes = bytes.map_err(|_| NotOurs::Unreadable)?;
        let read: Histogram<u64> = Deserializer::new()
            .deserialize(&mut bytes.as_slice())
            .map_err(|_| NotOurs::Unreadable)?;
        let ours = new_histogram();
        let layout = |of: &Histogram<u64>| (of.sigfig(), of.low(), of.high());
        if layout(&read) != layout(&ours) {
            return Err(NotOurs::OtherBuckets {
                digits: read.sigfig(),
                highest: read.high(),
            });
        }
        Ok(read)
    }
}

#[cfg(test)]
mod tests;

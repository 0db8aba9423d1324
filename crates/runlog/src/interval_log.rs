//! HDR interval logs (`.hlog`): one compressed histogram a block, readable by the `HdrHistogram`
//! tools.

use std::fs::{self, File};
use std::io::{BufWriter, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::interval_log::{
    IntervalLogIterator, IntervalLogWriter, IntervalLogWriterBuilder, LogEntry, LogIteratorError,
    Tag,
};
use hdrhistogram::serialization::{Deserializer, V2DeflateSerializer};

use crate::error::{Error, Result};

/// Significant decimal digits of every histogram of the project. Two digits make buckets at most
/// 1/128 of their value wide, 0.8 %; the in-kernel histograms have the same buckets.
pub const SIGNIFICANT_DIGITS: u8 = 2;

/// The largest value that histograms tell apart: one minute.
pub const MAX_VALUE_NS: u64 = 60_000_000_000;

/// The tag of intervals that hold no response times but how late the load generator was. The
/// `HdrHistogram` tools read intervals without a tag unless they are asked for a tag.
pub const PACER_TAG: &str = "pacer";

/// One interval of a log.
#[derive(Clone, Debug)]
pub struct Interval {
    /// Start, in time since 1970.
    pub start: Duration,
    /// Length.
    pub duration: Duration,
    /// What was special about it, if anything. No commas, spaces or line breaks.
    pub tag: Option<String>,
    /// Values in nanoseconds.
    pub histogram: Histogram<u64>,
}

impl Interval {
    /// Whether its values are response times: those of a pacer are not.
    pub fn has_response_times(&self) -> bool {
        self.tag.as_deref() != Some(PACER_TAG)
    }
}

/// An empty histogram in the project's layout.
///
/// # Panics
/// Never: the bounds are constants that the layout allows.
pub fn new_histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, MAX_VALUE_NS, SIGNIFICANT_DIGITS).expect("valid bounds")
}

/// A new file for an interval log. What [`NewLog::begin`] returns borrows it.
#[allow(missing_debug_implementations, reason = "its serializer is not Debug")]
pub struct NewLog {
    path: PathBuf,
    out: BufWriter<File>,
    serializer: V2DeflateSerializer,
}

/// Writes an interval log.
#[allow(missing_debug_implementations, reason = "its writer is not Debug")]
pub struct Writer<'l> {
    path: &'l Path,
    log: IntervalLogWriter<'l, 'l, BufWriter<File>, V2DeflateSerializer>,
}

impl NewLog {
    /// Creates the file.
    pub fn create(path: impl Into<PathBuf>) -> Result<Self> {
        let path = path.into();
        let file = File::create_new(&path).map_err(Error::io(&path))?;
        Ok(Self {
            path,
            out: BufWriter::new(file),
            serializer: V2DeflateSerializer::new(),
        })
    }

    /// Writes the head. Values are divided by 1,000,000 where the format wants a maximum for people:
    /// milliseconds, as its tools expect.
    pub fn begin(&mut self, comment: &str, log_start: Duration) -> Result<Writer<'_>> {
        let log = IntervalLogWriterBuilder::new()
            .add_comment(comment)
            .with_start_time(UNIX_EPOCH + log_start)
            .with_max_value_divisor(1_000_000.0)
            .begin_log_with(&mut self.out, &mut self.serializer)
            .map_err(Error::io(&self.path))?;
        Ok(Writer {
            path: &self.path,
            log,
        })
    }

    /// Flushes.
    pub fn finish(mut self) -> Result<()> {
        self.out.flush().map_err(Error::io(&self.path))
    }
}

impl Writer<'_> {
    /// Appends an interval.
    pub fn push(&mut self, interval: &Interval) -> Result<()> {
        let Interval {
            start,
            duration,
            tag,
            histogram,
        } = interval;
        let tag = tag.as_deref().and_then(Tag::new);
        let written = self.log.write_histogram(histogram, *start, *duration, tag);
        written.map_err(|error| {
            Error::format(self.path, format!("cannot write an interval: {error:?}"))
        })
    }
}

/// Whether a log's first line says that hookprobe wrote it. Others do not say what unit their values
/// have.
pub fn is_ours(path: &Path) -> Result<bool> {
    let mut start = Vec::new();
    File::open(path)
        .and_then(|file| file.take(64).read_to_end(&mut start))
        .map_err(Error::io(path))?;
    Ok(start.starts_with(b"#hookprobe"))
}

/// Reads all intervals of a file.
pub fn read(path: impl Into<PathBuf>) -> Result<Vec<Interval>> {
    let mut intervals = Vec::new();
    read_each(path, |interval| {
        intervals.push(interval);
        Ok(())
    })?;
    Ok(intervals)
}

/// Reads the intervals of a file one after the other: a histogram with many digits takes megabytes, whatever it holds.
/// Stops at the first that is refused, with the reason given.
pub fn read_each(
    path: impl Into<PathBuf>,
    mut take: impl FnMut(Interval) -> std::result::Result<(), String>,
) -> Result<()> {
    let path = path.into();
    let bytes = fs::read(&path).map_err(Error::io(&path))?;
    let mut deserializer = Deserializer::new();
    let mut number = 0;
    for entry in IntervalLogIterator::new(&bytes) {
        let entry = entry.map_err(|LogIteratorError::ParseError { offset }| {
            let line = 1 + bytes
                .iter()
                .take(offset)
                .filter(|byte| **byte == b'\n')
                .count();
            Error::format(
                &path,
                format!("line {line}: is no line of an HDR interval log (format 1.3)"),
            )
        })?;
        let LogEntry::Interval(interval) = entry else {
            continue;
        };
        number += 1;
        let histogram = BASE64
            .decode(interval.encoded_histogram())
            .ok()
            .and_then(|bytes| deserializer.deserialize(&mut bytes.as_slice()).ok())
            .ok_or_else(|| "holds a histogram that cannot be read".to_owned());
        let taken = histogram.and_then(|histogram| {
            take(Interval {
                start: interval.start_timestamp(),
                duration: interval.duration(),
                tag: interval.tag().map(|tag| tag.as_str().to_owned()),
                histogram,
            })
        });
        taken.map_err(|reason| Error::format(&path, format!("interval {number} {reason}")))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;

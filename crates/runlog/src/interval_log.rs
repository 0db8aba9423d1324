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
    IntervalLogIterator, IntervalLogWriterBuilder, LogEntry, LogIteratorError, Tag,
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
    #[must_use]
    pub fn has_response_times(&self) -> bool {
        self.tag.as_deref() != Some(PACER_TAG)
    }
}

/// An empty histogram in the project's layout.
///
/// # Panics
/// Never: the bounds are constants that the layout allows.
#[must_use]
pub fn new_histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, MAX_VALUE_NS, SIGNIFICANT_DIGITS).expect("valid bounds")
}

/// Writes `intervals` to a new file. Values are divided by 1,000,000 where the format wants a
/// maximum for people: milliseconds, as its tools expect.
pub fn write(
    path: &Path,
    comment: &str,
    log_start: Duration,
    intervals: impl IntoIterator<Item = Result<Interval>>,
) -> Result<()> {
    let file = File::create_new(path).map_err(Error::io(path))?;
    let mut out = BufWriter::new(file);
    let mut serializer = V2DeflateSerializer::new();
    let mut log = IntervalLogWriterBuilder::new()
        .add_comment(comment)
        .with_start_time(UNIX_EPOCH + log_start)
        .with_max_value_divisor(1_000_000.0)
        .begin_log_with(&mut out, &mut serializer)
        .map_err(Error::io(path))?;
    for interval in intervals {
        let interval = interval?;
        let tag = interval.tag.as_deref().and_then(Tag::new);
        log.write_histogram(&interval.histogram, interval.start, interval.duration, tag)
            .map_err(|error| Error::format(path, format!("cannot write an interval: {error:?}")))?;
    }
    out.flush().map_err(Error::io(path))
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
    let path = path.into();
    let bytes = fs::read(&path).map_err(Error::io(&path))?;
    let mut deserializer = Deserializer::new();
    let mut intervals = Vec::new();
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
        let histogram = BASE64
            .decode(interval.encoded_histogram())
            .ok()
            .and_then(|bytes| deserializer.deserialize(&mut bytes.as_slice()).ok())
            .ok_or_else(|| {
                let number = intervals.len() + 1;
                let reason = format!("interval {number} holds a histogram that cannot be read");
                Error::format(&path, reason)
            })?;
        intervals.push(Interval {
            start: interval.start_timestamp(),
            duration: interval.duration(),
            tag: interval.tag().map(|tag| tag.as_str().to_owned()),
            histogram,
        });
    }
    Ok(intervals)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_survive_a_round_trip() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("arm.hlog");
        let mut histogram = new_histogram();
        for value in [1, 250, 9_000, 1_000_000, MAX_VALUE_NS] {
            histogram.record(value).unwrap();
        }
        let intervals = [Some("observed"), None].map(|tag| Interval {
            start: Duration::from_millis(1_700_000_000_500),
            duration: Duration::from_millis(40),
            tag: tag.map(str::to_owned),
            histogram: histogram.clone(),
        });
        let all = || intervals.iter().cloned().map(Ok);
        write(&path, "arm baseline", intervals[0].start, all()).unwrap();
        let back = read(&path).unwrap();
        assert_eq!(back.len(), 2);
        for (back, written) in back.iter().zip(&intervals) {
            assert_eq!(back.histogram, written.histogram);
            assert_eq!(back.tag, written.tag);
            assert_eq!(back.start, written.start);
            assert_eq!(back.duration, written.duration);
        }
        assert!(
            write(&path, "", Duration::ZERO, all()).is_err(),
            "never replaces a file"
        );
    }

    #[test]
    fn other_text_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("arm.hlog");
        fs::write(&path, "start_time,response_time\n1,2\n").unwrap();
        assert!(read(&path).unwrap_err().to_string().contains("arm.hlog"));
        fs::write(&path, "0.0,1.0,2.0,not*base64\n").unwrap();
        assert!(read(&path).unwrap_err().to_string().contains("histogram"));
    }

    #[test]
    fn buckets_are_at_most_one_128th_of_their_value_wide() {
        let histogram = new_histogram();
        for value in [128, 1_000, 123_456, 99_999_999, MAX_VALUE_NS] {
            let width = histogram.equivalent_range(value);
            assert!(
                width as f64 / value as f64 <= 1.0 / 128.0,
                "{value}: {width}"
            );
        }
    }
}

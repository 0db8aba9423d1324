//! The CSV of the paper: `start_time,response_time`, Unix seconds and milliseconds.
//!
//! It is what Locust's request log was turned into for *Benchmarking Function Hook Latency in
//! Cloud-Native Environments*; the files published with the paper have this header and these units.

use std::fs::{self, File};
use std::io::{BufWriter, Write as _};
use std::path::PathBuf;

use crate::error::{Error, Result};

const HEADER: &str = "start_time,response_time";
/// What some programs begin a text file with.
const BYTE_ORDER_MARK: char = '\u{feff}';
/// The largest time, in the unit of either column: beyond thirty years it is no response time, and squares of
/// values without a limit are no numbers.
const MOST: f64 = 1e12;
/// How much of a line errors show.
const EXCERPT_CHARS: usize = 40;

/// One request.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Row {
    /// When it was sent, in seconds since 1970.
    pub start_time_s: f64,
    /// How long the response took, in milliseconds.
    pub response_time_ms: f64,
}

/// Writes rows to a new file.
#[derive(Debug)]
pub struct Writer {
    path: PathBuf,
    file: BufWriter<File>,
}

impl Writer {
    /// Creates the file and writes the header.
    pub fn create(path: impl Into<PathBuf>) -> Result<Self> {
        let path = path.into();
        let file = File::create_new(&path).map_err(Error::io(&path))?;
        let mut file = BufWriter::new(file);
        writeln!(file, "{HEADER}").map_err(Error::io(&path))?;
        Ok(Self { path, file })
    }

    /// Appends a row. Times are written to the microsecond and the nanosecond.
    pub fn push(&mut self, row: Row) -> Result<()> {
        let Row {
            start_time_s,
            response_time_ms,
        } = row;
        writeln!(self.file, "{start_time_s:.6},{response_time_ms:.6}")
            .map_err(Error::io(&self.path))
    }

    /// Flushes.
    pub fn finish(mut self) -> Result<()> {
        self.file.flush().map_err(Error::io(&self.path))
    }
}

/// Reads a whole file, in file order. A byte-order mark is skipped; lines end as in any system.
pub fn read(path: impl Into<PathBuf>) -> Result<Vec<Row>> {
    let path = path.into();
    let text = fs::read_to_string(&path).map_err(Error::io(&path))?;
    let text = text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(&text);
    let lines = text.split('\n');
    let lines = lines.flat_map(|line| line.strip_suffix('\r').unwrap_or(line).split('\r'));
    let mut rows = Vec::new();
    for (index, line) in lines.enumerate() {
        if index == 0 {
            if line != HEADER && !text.is_empty() {
                let reason = format!(
                    "line 1: expected the header \"{HEADER}\" (seconds since 1970 and milliseconds), \
                     found \"{}\"; rename and convert the columns",
                    excerpt(line)
                );
                return Err(Error::format(&path, reason));
            }
        } else if !line.is_empty() {
            let row = parse(line)
                .map_err(|reason| Error::format(&path, format!("line {}: {reason}", index + 1)))?;
            rows.push(row);
        }
    }
    if rows.is_empty() {
        let reason = format!("holds no request; expected the header \"{HEADER}\" and a line each");
        return Err(Error::format(&path, reason));
    }
    Ok(rows)
}

fn parse(line: &str) -> std::result::Result<Row, String> {
    let (start, response) = line.split_once(',').ok_or_else(|| {
        let found = excerpt(line);
        format!("expected two columns, \"{HEADER}\", found \"{found}\"")
    })?;
    let number = |column: &str, text: &str| match text.trim().parse::<f64>() {
        Ok(value) if (0.0..=MOST).contains(&value) => Ok(value),
        _ => Err(format!(
            "{column} must be a number from 0 to {MOST:e}, found \"{}\"; correct the line, or remove it \
             if the request failed",
            excerpt(text)
        )),
    };
    Ok(Row {
        start_time_s: number("start_time", start)?,
        response_time_ms: number("response_time", response)?,
    })
}

/// The beginning of a text, for an error: a file of another kind may be one line, with anything in it.
fn excerpt(text: &str) -> String {
    let mut excerpt: String = text.chars().take(EXCERPT_CHARS).collect();
    if excerpt.len() < text.len() {
        excerpt.push('…');
    }
    excerpt.escape_debug().to_string()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn rows_survive_a_round_trip() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("arm.csv");
        let row = Row {
            start_time_s: 1_691_768_168.997_005,
            response_time_ms: 0.008_714,
        };
        let mut writer = Writer::create(&path).unwrap();
        writer.push(row).unwrap();
        writer.finish().unwrap();
        assert_eq!(read(&path).unwrap(), [row]);
    }

    #[test]
    fn the_papers_own_digits_are_read() {
        let row = parse("1691768168.9970055,4.422151999960988").unwrap();
        assert!((row.response_time_ms - 4.422_152).abs() < 1e-9);
        assert!((row.start_time_s - 1_691_768_168.997_005_5).abs() < 1e-6);
    }

    #[test]
    fn a_byte_order_mark_and_any_line_ends_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("arm.csv");
        let rows = [(1.0, 2.0), (3.0, 4.0)].map(|(start_time_s, response_time_ms)| Row {
            start_time_s,
            response_time_ms,
        });
        for end in ["\n", "\r\n", "\r"] {
            for mark in ["", "\u{feff}"] {
                let lines = format!("{mark}{HEADER}\n1,2\n3,4\n").replace('\n', end);
                fs::write(&path, &lines).unwrap();
                assert_eq!(read(&path).unwrap(), rows, "{lines:?}");
                fs::write(&path, format!("{lines}{end}5,x{end}")).unwrap();
                let error = read(&path).unwrap_err().to_string();
                assert!(error.contains("line 5: response_time"), "{end:?}: {error}");
            }
        }
    }

    #[test]
    fn errors_show_the_beginning_of_a_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("long.csv");
        for text in [
            "x".repeat(100_000),
            format!("{HEADER}\n{}", "y".repeat(100_000)),
            format!("{HEADER}\n1,{}", "z".repeat(100_000)),
        ] {
            fs::write(&path, text).unwrap();
            let error = read(&path).unwrap_err().to_string();
            assert!(error.len() < 400 && error.contains("…\""), "{error}");
        }
        fs::write(&path, "start_time,\u{200b}response_time\n").unwrap();
        let error = read(&path).unwrap_err().to_string();
        assert!(error.contains("\\u{200b}"), "{error}");
    }

    #[test]
    fn bad_files_name_the_line_and_the_reason() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bad.csv");
        let error = |text: &str| {
            fs::write(&path, text).unwrap();
            read(&path).unwrap_err().to_string()
        };
        assert!(error("").contains("holds no request"));
        assert!(error("a,b\n1,2\n").contains("line 1: expected the header"));
        assert!(error("start_time,response_time\n").contains("holds no request"));
        assert!(error("start_time,response_time\n1\n").contains("line 2: expected two columns"));
        assert!(error("start_time,response_time\n1,2\n1,NaN\n").contains("line 3: response_time"));
        assert!(error("start_time,response_time\n1,-2\n").contains("line 2: response_time"));
        let too_long = error("start_time,response_time\n1,2\n1,1e305\n");
        assert!(too_long.contains("line 3: response_time must be a number from 0 to 1e12"));
        assert!(error("start_time,response_time\n1e13,2\n").contains("line 2: start_time"));
    }
}

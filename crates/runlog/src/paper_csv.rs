//! The CSV of the paper: `start_time,response_time`, Unix seconds and milliseconds.
//!
//! It is what Locust's request log was turned into for *Benchmarking Function Hook Latency in
//! Cloud-Native Environments*; the files published with the paper have this header and these units.

use std::fs::File;
use std::io::{BufRead as _, BufReader, BufWriter, Write as _};
use std::path::PathBuf;

use crate::error::{Error, Result};

const HEADER: &str = "start_time,response_time";

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

/// Reads a whole file, in file order.
pub fn read(path: impl Into<PathBuf>) -> Result<Vec<Row>> {
    let path = path.into();
    let file = File::open(&path).map_err(Error::io(&path))?;
    let mut rows = Vec::new();
    for (index, line) in BufReader::new(file).lines().enumerate() {
        let line = line.map_err(Error::io(&path))?;
        let line = line.trim_end_matches('\r');
        if index == 0 {
            if line != HEADER {
                let reason = format!(
                    "line 1: expected the header \"{HEADER}\" (seconds since 1970 and milliseconds), \
                     found \"{line}\"; rename and convert the columns"
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
    let (start, response) = line
        .split_once(',')
        .ok_or_else(|| format!("expected two columns, \"{HEADER}\", found \"{line}\""))?;
    let number = |column: &str, text: &str| match text.trim().parse::<f64>() {
        Ok(value) if value.is_finite() && value >= 0.0 => Ok(value),
        _ => Err(format!(
            "{column} must be a number of at least 0, found \"{text}\"; correct the line, or remove it \
             if the request failed"
        )),
    };
    Ok(Row {
        start_time_s: number("start_time", start)?,
        response_time_ms: number("response_time", response)?,
    })
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
    }
}

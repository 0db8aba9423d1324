//! The load generator's logs, as they come in: piece by piece, each at the end of what is there already.
//!
//! A piece that is cut on its way is not taken. Whoever sends asks how much there is, and goes on there.

use std::fs::File;
use std::io::{self, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use axum::http::StatusCode;
use runlog::RunDirectory;
use runlog::agent_run::LogBytes;
use runlog::record::{ClientConnection, Request};
use runlog::table::{self, Row, Rows};
use serde::Deserialize;
use web::refusal::Refused;

/// Which log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum LogFile {
    /// The request log.
    #[serde(rename = "requests.npy")]
    Requests,
    /// The connections.
    #[serde(rename = "connections-client.npy")]
    Connections,
}

/// The two logs of a run.
#[derive(Debug)]
pub struct Upload {
    requests: Growing,
    connections: Growing,
}

/// A file that grows at its end.
#[derive(Debug)]
struct Growing {
    path: PathBuf,
    file: File,
    length: u64,
}

impl Upload {
    /// Makes the files.
    pub fn create(run: &RunDirectory) -> io::Result<Self> {
        Ok(Self {
            requests: Growing::create(run.requests())?,
            connections: Growing::create(run.client_connections())?,
        })
    }

    /// How much has come in.
    pub fn bytes(&self) -> LogBytes {
        LogBytes {
            requests: self.requests.length,
            connections: self.connections.length,
        }
    }

    /// Adds a piece.
    pub fn add(&mut self, to: LogFile, offset: u64, piece: &[u8]) -> Result<(), Refused> {
        match to {
            LogFile::Requests => self.requests.add::<Request>(offset, piece),
            LogFile::Connections => self.connections.add::<ClientConnection>(offset, piece),
        }
    }

    /// Completes both files. A row that came in part is cut off.
    pub fn complete(&self) -> runlog::Result<()> {
        table::complete::<Request>(&self.requests.path)?;
        table::complete::<ClientConnection>(&self.connections.path)?;
        Ok(())
    }
}

impl Growing {
    fn create(path: PathBuf) -> io::Result<Self> {
        Ok(Self {
            file: File::create_new(&path)?,
            path,
            length: 0,
        })
    }

    fn add<T: Row>(&mut self, offset: u64, piece: &[u8]) -> Result<(), Refused> {
        if offset != self.length {
            return Err(Refused::new(
                StatusCode::CONFLICT,
                format!(
                    "this piece begins at {offset}, and {} bytes are there: go on behind them",
                    self.length
                ),
            ));
        }
        if let Err(error) = self.file.write_all(piece) {
            // What is there of the piece is overwritten by the next, or cut off.
            let _ = self.take_back();
            return Err(Refused::new(
                StatusCode::INSUFFICIENT_STORAGE,
                format!("cannot write the log: {error}"),
            ));
        }
        if offset == 0 && !piece.is_empty() {
            check_header::<T>(&self.path).inspect_err(|_| _ = self.take_back())?;
        }
        self.length += piece.len() as u64;
        Ok(())
    }

    fn take_back(&mut self) -> io::Result<()> {
        self.file.set_len(self.length)?;
        self.file.seek(SeekFrom::Start(self.length)).map(|_| ())
    }
}

/// Whether the file begins as a log does. Its columns are told at its start.
fn check_header<T: Row>(path: &Path) -> Result<(), Refused> {
    Rows::<T>::open(path).map(|_| ()).map_err(|error| {
        let name = path.file_name().unwrap_or_default().display();
        let reason = match error {
            runlog::Error::Format { reason, .. } => reason,
            other => format!("cannot be read: {:#}", anyhow::Error::from(other)),
        };
        Refused::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            format!("{name} {reason}; its first piece must hold all of its header"),
        )
    })
}

#[cfg(test)]
mod tests {
    use runlog::table::{TableWriter, read_all};

    use super::*;

    fn log() -> (tempfile::TempDir, Vec<u8>, Vec<Request>) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log.npy");
        let rows: Vec<Request> = (0..100)
            .map(|sequence| Request {
                sequence,
                ..Request::default()
            })
            .collect();
        let mut writer = TableWriter::create(&path).unwrap();
        for row in &rows {
            writer.push(row).unwrap();
        }
        writer.finish().unwrap();
        (folder, std::fs::read(&path).unwrap(), rows)
    }

    #[test]
    fn pieces_in_their_order_are_the_log_and_others_are_refused() {
        let (folder, bytes, rows) = log();
        let run = RunDirectory::create(folder.path().join("run")).unwrap();
        let mut upload = Upload::create(&run).unwrap();
        let mut add = |offset: usize, piece: &[u8]| {
            let added = upload.add(LogFile::Requests, offset as u64, piece);
            added.map_err(|refused| refused.status().as_u16())
        };
        assert_eq!(add(0, b"GET / HTTP/1.1"), Err(422), "no log");
        assert_eq!(add(0, &bytes[..20]), Err(422), "a part of a header");
        assert_eq!(add(0, &bytes[..1_001]), Ok(()));
        assert_eq!(add(0, &bytes[..1_001]), Err(409), "it is there already");
        assert_eq!(add(2_000, &bytes[2_000..]), Err(409), "a piece is missing");
        assert_eq!(add(1_001, &[]), Ok(()), "nothing new");
        assert_eq!(add(1_001, &bytes[1_001..]), Ok(()));
        assert_eq!(upload.bytes().requests, bytes.len() as u64);
        assert_eq!(read_all::<Request>(run.requests()).unwrap(), rows);
    }
}

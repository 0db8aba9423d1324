//! Test mode: which read delivered which request, as the server itself knows it. It is the truth
//! that the join of probe records to requests is tested against, and which the join never sees.

use std::fs::File;
use std::io::{self, BufWriter, Write as _};
use std::path::Path;
use std::sync::Mutex;

use crate::socket::ReadTimes;

/// A CSV file with one line a request.
#[derive(Debug)]
pub struct SequenceLog {
    file: Mutex<BufWriter<File>>,
}

impl SequenceLog {
    /// Creates the file.
    pub fn create(path: &Path) -> io::Result<Self> {
        let mut file = BufWriter::new(File::create(path)?);
        writeln!(file, "sequence,peer_port,before_ns,after_ns")?;
        Ok(Self {
            file: Mutex::new(file),
        })
    }

    /// Notes that the read with these times completed the request with this number.
    pub fn note(&self, sequence: u64, peer_port: u16, times: ReadTimes) -> io::Result<()> {
        let ReadTimes {
            before_ns,
            after_ns,
        } = times;
        let mut file = self.file.lock().map_err(|_| io::ErrorKind::Other)?;
        writeln!(file, "{sequence},{peer_port},{before_ns},{after_ns}")
    }

    /// Writes what is buffered.
    pub fn flush(&self) -> io::Result<()> {
        self.file.lock().map_err(|_| io::ErrorKind::Other)?.flush()
    }
}

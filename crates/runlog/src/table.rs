//! Logs as NumPy structured arrays (`.npy`), written row by row and read in a stream.
//!
//! The number of rows is part of the header and is filled in at the end. A run that was killed left
//! it empty; [`Rows`] then reads on to the last complete row, and [`Rows::was_cut_short`] says so.

use std::cell::{Cell, RefCell};
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::marker::PhantomData;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use npyz::{AutoSerialize, Deserialize, NpyHeader, TypeRead as _, WriterBuilder as _};

pub use npyz::{AutoSerialize as WritableRow, Deserialize as Row};

use crate::error::{Error, Result};

/// Writes rows to a new file.
pub struct TableWriter<T: AutoSerialize> {
    path: PathBuf,
    writer: npyz::NpyWriter<T, Shared>,
    file: Shared,
    rows: u64,
}

/// The file, held by the row writer and by us, who can flush it.
#[derive(Clone)]
struct Shared(Rc<RefCell<BufWriter<File>>>);

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.borrow_mut().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.borrow_mut().flush()
    }
}

impl Seek for Shared {
    fn seek(&mut self, position: SeekFrom) -> io::Result<u64> {
        self.0.borrow_mut().seek(position)
    }
}

impl<T: AutoSerialize> std::fmt::Debug for TableWriter<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { path, rows, .. } = self;
        f.debug_struct("TableWriter")
            .field("path", path)
            .field("rows", rows)
            .finish_non_exhaustive()
    }
}

impl<T: AutoSerialize> TableWriter<T> {
    /// Creates the file.
    pub fn create(path: impl Into<PathBuf>) -> Result<Self> {
        let path = path.into();
        let file = File::create_new(&path).map_err(Error::io(&path))?;
        let file = BufWriter::with_capacity(1 << 18, file);
        let file = Shared(Rc::new(RefCell::new(file)));
        let writer = npyz::WriteOptions::new()
            .default_dtype()
            .writer(file.clone())
            .begin_1d()
            .map_err(Error::io(&path))?;
        let mut table = Self {
            path,
            writer,
            file,
            rows: 0,
        };
        // With its header alone the file can be read as an empty log.
        table.flush()?;
        Ok(table)
    }

    /// Writes what is buffered. What was flushed survives this program's end, however it ends.
    pub fn flush(&mut self) -> Result<()> {
        self.file.flush().map_err(Error::io(&self.path))
    }

    /// Appends a row.
    pub fn push(&mut self, row: &T) -> Result<()> {
        self.writer.push(row).map_err(Error::io(&self.path))?;
        self.rows += 1;
        Ok(())
    }

    /// Rows so far.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Completes the header and flushes. Returns how many rows were written.
    pub fn finish(self) -> Result<u64> {
        let Self {
            path,
            writer,
            mut file,
            rows,
        } = self;
        writer
            .finish()
            .and_then(|()| file.flush())
            .map_err(Error::io(&path))?;
        Ok(rows)
    }
}

/// Completes a log whose writer never came to fill in the number of rows, or was somewhere else. A row that is there in
/// part is cut off. Returns how many rows there are.
pub fn complete<T: Row>(path: &Path) -> Result<u64> {
    // The columns are checked.
    let row_size = Rows::<T>::open(path)?.row_bytes.len() as u64;
    let io = |source| Error::Io {
        path: path.to_owned(),
        source,
    };
    let mut file = File::options()
        .read(true)
        .write(true)
        .open(path)
        .map_err(io)?;
    let mut header = read_raw_header(&mut file).map_err(io)?;
    let length = file.metadata().map_err(io)?.len();
    let rows = (length - header.len() as u64) / row_size;
    let count = header.iter().position(|byte| *byte == b'*');
    if let Some(first) = count {
        let digits = rows.to_string();
        let places = header[first..].iter().take_while(|byte| **byte == b'*');
        let places = places.count();
        if digits.len() > places {
            return Err(Error::format(path, "has no room for its number of rows"));
        }
        header[first..first + places].fill(b' ');
        header[first..first + digits.len()].copy_from_slice(digits.as_bytes());
        file.set_len(header.len() as u64 + rows * row_size)
            .and_then(|()| file.seek(SeekFrom::Start(0)))
            .and_then(|_| file.write_all(&header))
            .map_err(io)?;
    }
    Ok(rows)
}

/// Reads a whole log that fits into memory.
pub fn read_all<T: Row>(path: impl Into<PathBuf>) -> Result<Vec<T>> {
    Rows::open(path)?.collect()
}

thread_local! {
    static OPENED: Cell<u64> = const { Cell::new(0) };
}

/// How many logs this thread has opened to read their rows. For tests: a log may be large, and each pass costs time.
pub fn opened_by_this_thread() -> u64 {
    OPENED.get()
}

/// Reads rows from a file, in a stream.
pub struct Rows<T: Deserialize> {
    path: PathBuf,
    reader: BufReader<File>,
    row: T::TypeReader,
    row_bytes: Vec<u8>,
    promised: u64,
    read: u64,
    cut_short: bool,
    _type: PhantomData<T>,
}

impl<T: Deserialize> std::fmt::Debug for Rows<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rows")
            .field("path", &self.path)
            .field("read", &self.read)
            .finish_non_exhaustive()
    }
}

impl<T: Deserialize> Rows<T> {
    /// Opens the file and checks that its columns are those of `T`.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self> {
        let path = path.into();
        let file = File::open(&path).map_err(Error::io(&path))?;
        OPENED.set(OPENED.get() + 1);
        let mut reader = BufReader::with_capacity(1 << 18, file);
        let header = read_header(&mut reader)
            .and_then(|bytes| NpyHeader::from_reader(bytes.as_slice()))
            .map_err(|error| Error::format(&path, format!("is not a .npy file ({error})")))?;
        let dtype = header.dtype();
        let row_size = row_size(&path, &dtype)?;
        let row = T::reader(&dtype).map_err(|error| {
            Error::format(
                &path,
                format!("has other columns than this version ({error})"),
            )
        })?;
        Ok(Self {
            path,
            reader,
            row,
            row_bytes: vec![0; row_size],
            promised: header.shape().first().copied().unwrap_or(0),
            read: 0,
            cut_short: false,
            _type: PhantomData,
        })
    }

    /// Whether the header promised another number of rows than the file holds: the writer was
    /// stopped. Known once the last row was read.
    pub fn was_cut_short(&self) -> bool {
        self.cut_short
    }

    /// The next row, or `None` behind the last complete one.
    fn next_row(&mut self) -> io::Result<Option<T>> {
        let mut filled = 0;
        while filled < self.row_bytes.len() {
            match self.reader.read(&mut self.row_bytes[filled..]) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        if filled < self.row_bytes.len() {
            self.cut_short = filled > 0 || self.read != self.promised;
            return Ok(None);
        }
        self.read += 1;
        self.row.read_one(self.row_bytes.as_slice()).map(Some)
    }
}

impl<T: Deserialize> Iterator for Rows<T> {
    type Item = Result<T>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_row().map_err(Error::io(&self.path)).transpose()
    }
}

/// Reads the header's bytes. Where a writer never came to fill in the number of rows, its
/// placeholder of asterisks becomes a 0.
fn read_header(reader: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut bytes = read_raw_header(reader)?;
    if let Some(first) = bytes.iter().position(|byte| *byte == b'*') {
        bytes[first] = b'0';
        for byte in bytes.iter_mut().filter(|byte| **byte == b'*') {
            *byte = b' ';
        }
    }
    Ok(bytes)
}

/// Reads the header's bytes as they are.
fn read_raw_header(reader: &mut impl Read) -> io::Result<Vec<u8>> {
    // Magic, version, and the length of the rest in two bytes (version 1) or four.
    let mut bytes = vec![0; 10];
    reader.read_exact(&mut bytes)?;
    if !bytes.starts_with(b"\x93NUMPY") {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "other magic"));
    }
    let mut length = usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    if bytes[6] > 1 {
        let mut high = [0; 2];
        reader.read_exact(&mut high)?;
        bytes.extend(high);
        length += usize::from(u16::from_le_bytes(high)) << 16;
    }
    reader.take(length as u64).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn row_size(path: &Path, dtype: &npyz::DType) -> Result<usize> {
    dtype
        .num_bytes()
        .filter(|size| *size > 0)
        .ok_or_else(|| Error::format(path, "has rows of no fixed size"))
}

#[cfg(test)]
mod tests;

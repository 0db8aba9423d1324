//! Whether two paths lead to one file, as the kernel's probes have it.
//!
//! Probes are in the pages of a file, and a container's overlay shows a file of its image under a device number of
//! its own: device and inode numbers differ where the pages are the same. After a write in one container the numbers
//! stay, and the pages differ. So the pages are what is compared. A page frame of the page cache belongs to one file
//! alone, and to one place in it; so two mappings of that place that show the same frame at the same time are of the
//! same file. (What shares frames without being one file is anonymous memory, which this is not.)
//!
//! The kernel shows page frames to `CAP_SYS_ADMIN` alone. Without it, number, size and time of change have to do: an
//! overlay passes those of the file below on, and a copy gets a time of its own, to the nanosecond, which nobody can
//! set.
#![allow(unsafe_code, reason = "mapping a file is unsafe: see where it is done")]

use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::Path;

use memmap2::{Mmap, MmapOptions};

/// Bytes of a page table entry in `/proc/self/pagemap`.
const ENTRY: usize = 8;
/// The page is in memory.
const PRESENT: u64 = 1 << 63;
/// Number of the page frame.
const FRAME: u64 = (1 << 55) - 1;

/// Number, size, and time of change of a file.
type Stamp = (u64, u64, i64, i64);

/// A page of a file, held in memory.
#[derive(Debug)]
pub struct Page {
    /// Never read from here: a file may become shorter.
    map: Mmap,
    stamp: Stamp,
}

impl Page {
    /// Maps the page of the file that has this byte.
    pub fn of(path: &Path, offset: u64) -> io::Result<Self> {
        let size = rustix::param::page_size();
        let file = File::open(path)?;
        let mut options = MmapOptions::new();
        options.offset(offset - offset % size as u64).len(size);
        // SAFETY: others may change the file, but nothing is ever read from the mapping.
        let map = unsafe { options.map(&file) }?;
        // Brings the page in and keeps it there. It fails where touching it would be a bus error.
        map.lock()?;
        let about = file.metadata()?;
        let stamp = (about.ino(), about.len(), about.ctime(), about.ctime_nsec());
        Ok(Self { map, stamp })
    }

    /// Whether this page and the other are one.
    pub fn is(&self, other: &Self) -> io::Result<bool> {
        match self.has_frame_of(other) {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                Ok(self.stamp == other.stamp)
            }
            result => result,
        }
    }

    fn has_frame_of(&self, other: &Self) -> io::Result<bool> {
        loop {
            let before = self.frame()?;
            let theirs = other.frame()?;
            // The kernel moves pages now and then.
            if self.frame()? == before {
                return Ok(before == theirs);
            }
        }
    }

    /// Number of its page frame now.
    fn frame(&self) -> io::Result<u64> {
        let number = self.map.as_ptr().addr() / rustix::param::page_size();
        let mut entry = [0; ENTRY];
        File::open("/proc/self/pagemap")?.read_exact_at(&mut entry, (number * ENTRY) as u64)?;
        let entry = u64::from_ne_bytes(entry);
        if entry & PRESENT == 0 {
            return Err(io::Error::other("the page is not in memory"));
        }
        match entry & FRAME {
            0 => Err(io::Error::new(
                io::ErrorKind::PermissionDenied,
                "the kernel does not show page frames without CAP_SYS_ADMIN",
            )),
            frame => Ok(frame),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn file(content: &[u8]) -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(content).unwrap();
        file
    }

    #[test]
    fn a_link_is_the_file_and_a_copy_is_not() {
        let content = vec![7; 3 * rustix::param::page_size()];
        let (original, copy) = (file(&content), file(&content));
        let folder = tempfile::tempdir().unwrap();
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(original.path(), &link).unwrap();
        let page = |path: &Path| Page::of(path, 5_000).unwrap();
        let [original, link, copy] = [original.path(), &link, copy.path()].map(page);
        assert!(original.is(&link).unwrap());
        assert!(!original.is(&copy).unwrap());
        // Without the right to see page frames.
        assert_eq!(original.stamp, link.stamp);
        assert_ne!(original.stamp, copy.stamp);
    }

    #[test]
    fn what_is_not_there_is_an_error() {
        let short = file(b"short");
        assert!(Page::of(short.path(), 0).is_ok());
        assert!(Page::of(short.path(), 1 << 20).is_err(), "behind the end");
        assert!(Page::of(Path::new("/nonexistent"), 0).is_err());
    }
}

//! What an ELF file says about itself: whether it is dynamic, and its USDT notes.

use std::fs;
use std::path::{Path, PathBuf};

use object::elf::{FileHeader64, PT_INTERP};
use object::read::elf::{ElfFile, FileHeader as _, ProgramHeader as _};
use object::{Endianness, Object as _, ObjectSection as _, ObjectSegment as _};

/// Why a file cannot be probed.
#[derive(Debug, thiserror::Error)]
pub enum ElfError {
    /// It cannot be read. Why is the error's source.
    #[error("{}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It is not a 64-bit ELF file.
    #[error("{}: is not a 64-bit ELF file ({reason})", path.display())]
    NotElf {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: object::Error,
    },
}

/// A USDT probe site, with its places as offsets into the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsdtSite {
    /// Provider of the note.
    pub provider: String,
    /// Name of the probe.
    pub name: String,
    /// Where the instruction is.
    pub offset: u64,
    /// Where the semaphore is, if it has one.
    pub semaphore_offset: Option<u64>,
}

/// The bytes of an ELF file.
#[derive(Debug)]
pub struct Elf {
    path: PathBuf,
    bytes: Vec<u8>,
}

/// A parsed file.
pub(super) type Parsed<'b> = ElfFile<'b, FileHeader64<Endianness>>;

impl Elf {
    /// Reads a file.
    pub fn open(path: &Path) -> Result<Self, ElfError> {
        let io = |source| ElfError::Io {
            path: path.to_owned(),
            source,
        };
        // Devices can be mapped too, and some never end.
        if !fs::metadata(path).map_err(io)?.is_file() {
            return Err(io(std::io::Error::other("is not a regular file")));
        }
        let bytes = fs::read(path).map_err(io)?;
        let elf = Self {
            path: path.to_owned(),
            bytes,
        };
        elf.parse()?;
        Ok(elf)
    }

    /// Parses it anew: what that yields borrows the bytes.
    pub(super) fn parse(&self) -> Result<Parsed<'_>, ElfError> {
        Parsed::parse(self.bytes.as_slice()).map_err(|reason| ElfError::NotElf {
            path: self.path.clone(),
            reason,
        })
    }

    /// Its path.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether the file asks for a dynamic linker. One that does not is static: nothing can be
    /// preloaded into it.
    pub fn is_dynamic_executable(&self) -> Result<bool, ElfError> {
        let file = self.parse()?;
        let endian = file.endian();
        let headers = file.elf_header().program_headers(endian, file.data());
        let headers = headers.map_err(|reason| ElfError::NotElf {
            path: self.path.clone(),
            reason,
        })?;
        Ok(headers
            .iter()
            .any(|header| header.p_type(endian) == PT_INTERP))
    }

    /// The USDT sites of a provider.
    pub fn usdt_sites(&self, provider: &str) -> Result<Vec<UsdtSite>, ElfError> {
        let file = self.parse()?;
        let Some(section) = file.section_by_name(".note.stapsdt") else {
            return Ok(Vec::new());
        };
        let notes = section.data().unwrap_or_default();
        // The linker may have moved the addresses in the notes' descriptors, or not (prelink): the
        // base section's address, noted at link time too, tells by how much.
        let base = file
            .section_by_name(".stapsdt.base")
            .map(|section| section.address());
        let sites = parse_notes(notes)
            .filter(|note| note.provider == provider)
            .filter_map(|note| {
                let moved = |address: u64| match base {
                    Some(base) if note.base != 0 => {
                        address.wrapping_add(base).wrapping_sub(note.base)
                    }
                    _ => address,
                };
                let semaphore_offset = match note.semaphore {
                    0 => None,
                    address => Some(file_offset(&file, moved(address))?),
                };
                Some(UsdtSite {
                    provider: note.provider.to_owned(),
                    name: note.name.to_owned(),
                    offset: file_offset(&file, moved(note.location))?,
                    semaphore_offset,
                })
            });
        Ok(sites.collect())
    }
}

fn file_offset(file: &Parsed<'_>, address: u64) -> Option<u64> {
    file.segments().find_map(|segment| {
        let (offset, size) = segment.file_range();
        let within = address.checked_sub(segment.address())?;
        (within < size).then_some(offset + within)
    })
}

/// A note as it is in the file. The format is that of
/// <https://sourceware.org/systemtap/wiki/UserSpaceProbeImplementation>.
#[derive(Debug, PartialEq, Eq)]
struct Note<'n> {
    location: u64,
    base: u64,
    semaphore: u64,
    provider: &'n str,
    name: &'n str,
}

/// The notes in the bytes of a `.note.stapsdt` section. Ends at the first that is malformed.
fn parse_notes(mut bytes: &[u8]) -> impl Iterator<Item = Note<'_>> {
    std::iter::from_fn(move || {
        let name_length = take_u32(&mut bytes)? as usize;
        let descriptor_length = take_u32(&mut bytes)? as usize;
        let _kind = take_u32(&mut bytes)?;
        let _owner = take(&mut bytes, name_length.next_multiple_of(4))?;
        let padded = descriptor_length.next_multiple_of(4).min(bytes.len());
        let mut descriptor = take(&mut bytes, padded)?;
        Some(Note {
            location: take_u64(&mut descriptor)?,
            base: take_u64(&mut descriptor)?,
            semaphore: take_u64(&mut descriptor)?,
            provider: take_text(&mut descriptor)?,
            name: take_text(&mut descriptor)?,
        })
    })
}

fn take<'b>(bytes: &mut &'b [u8], count: usize) -> Option<&'b [u8]> {
    let (head, tail) = bytes.split_at_checked(count)?;
    *bytes = tail;
    Some(head)
}

fn take_u32(bytes: &mut &[u8]) -> Option<u32> {
    Some(u32::from_ne_bytes(take(bytes, 4)?.try_into().ok()?))
}

fn take_u64(bytes: &mut &[u8]) -> Option<u64> {
    Some(u64::from_ne_bytes(take(bytes, 8)?.try_into().ok()?))
}

fn take_text<'b>(bytes: &mut &'b [u8]) -> Option<&'b str> {
    let end = bytes.iter().position(|byte| *byte == 0)?;
    let text = take(bytes, end + 1)?;
    str::from_utf8(&text[..end]).ok()
}

#[cfg(test)]
mod tests;

//! Functions of an ELF file: by name, or by the address that they begin at.
//!
//! A pair of probes times a whole function, and the kernel takes the return address from where it is
//! at a function's first instruction. So an address inside a function is refused, and so is what is
//! known to break under such a pair: Go, whose runtime moves stacks and finds the kernel's address
//! where it looks for a caller's.

use std::path::PathBuf;

use object::elf::{FileHeader64, PF_X, PT_LOAD, PT_NOTE, STT_FUNC, STT_GNU_IFUNC};
use object::read::elf::{ElfSymbol, ProgramHeader as _, VersionTable};
use object::{Endianness, Object as _, ObjectSymbol};

use crate::discover::elf::{Elf, ElfError, Parsed};
use crate::discover::unwind;

/// Which function is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FunctionName {
    /// Its symbol, with a version behind `@` where a library has several.
    Symbol(String),
    /// The address of its first instruction, as the file itself counts addresses.
    Address(u64),
}

/// Why a function cannot be probed.
#[derive(Debug, thiserror::Error)]
pub enum FunctionError {
    /// The file cannot be read.
    #[error(transparent)]
    Elf(#[from] ElfError),
    /// It was built by Go.
    #[error(
        "{}: was built by Go, whose runtime moves stacks while functions run: a return probe can \
         crash it; without a function, its reads are still timed in the kernel",
        path.display()
    )]
    Go {
        /// The file.
        path: PathBuf,
    },
    /// A symbol stands for one of several functions, chosen while the program loads.
    #[error(
        "{}: \"{symbol}\" is an indirect function: the dynamic linker chooses one of several for \
         each CPU; name that one",
        path.display()
    )]
    Indirect {
        /// The file.
        path: PathBuf,
        /// The symbol.
        symbol: String,
    },
    /// A symbol is not there, or is no function.
    #[error("{}: has no function \"{symbol}\"{hint}", path.display())]
    NoSymbol {
        /// The file.
        path: PathBuf,
        /// The symbol.
        symbol: String,
        /// What may be meant instead.
        hint: String,
    },
    /// An address is not one of code.
    #[error("{}: has no code at {address:#x}{}", path.display(), ranges(code))]
    NoCode {
        /// The file.
        path: PathBuf,
        /// The address.
        address: u64,
        /// Where it has code: first address and the one behind the last.
        code: Vec<(u64, u64)>,
    },
    /// An address is not where a function begins.
    #[error(
        "{}: no function is known to begin at {address:#x}{within}; only whole functions can be \
         timed, as at their first instruction the return address is on top of the stack",
        path.display()
    )]
    NotAStart {
        /// The file.
        path: PathBuf,
        /// The address.
        address: u64,
        /// What is known of the place.
        within: String,
    },
}

fn ranges(code: &[(u64, u64)]) -> String {
    let ranges: Vec<String> = code
        .iter()
        .map(|(start, end)| format!("{start:#x} to {end:#x}"))
        .collect();
    if ranges.is_empty() {
        String::new()
    } else {
        format!("; its code is at {}", ranges.join(", "))
    }
}

impl Elf {
    /// Whether it has a function of this name for others to call.
    pub fn defines(&self, symbol: &str) -> Result<bool, ElfError> {
        let file = self.parse()?;
        Ok(file
            .dynamic_symbols()
            .any(|entry| is_function(&entry) && entry.name() == Ok(symbol)))
    }

    /// Whether it defines any function for others.
    pub fn defines_any(&self) -> Result<bool, ElfError> {
        let file = self.parse()?;
        Ok(file.dynamic_symbols().any(|entry| is_function(&entry)))
    }

    /// Whether it is a program that Go's toolchain built. It makes its system calls itself, also where it has a dynamic linker:
    /// its libraries see none of them.
    pub fn is_go_program(&self) -> Result<bool, ElfError> {
        Ok(is_go(&self.parse()?))
    }

    /// Whether others can use a symbol of the file, a function or not.
    pub fn exports(&self, symbol: &str) -> Result<bool, ElfError> {
        let file = self.parse()?;
        let mut symbols = file.dynamic_symbols();
        Ok(symbols.any(|entry| entry.is_definition() && entry.name() == Ok(symbol)))
    }

    /// Offset into the file of a function's first instruction.
    pub fn function_offset(&self, name: &FunctionName) -> Result<u64, FunctionError> {
        let file = self.parse()?;
        if is_go(&file) {
            return Err(FunctionError::Go {
                path: self.path().to_owned(),
            });
        }
        let address = match name {
            FunctionName::Symbol(symbol) => self.address_of(&file, symbol)?,
            FunctionName::Address(address) => *address,
        };
        let offset = code_offset(&file, address).ok_or_else(|| FunctionError::NoCode {
            path: self.path().to_owned(),
            address,
            code: code(&file).map(|(start, end, _)| (start, end)).collect(),
        })?;
        if matches!(name, FunctionName::Address(_)) {
            self.check_start(&file, address)?;
        }
        Ok(offset)
    }

    /// Where a library has several versions of a symbol and none is asked for, the one that programs
    /// are linked to today.
    fn address_of(&self, file: &Parsed<'_>, symbol: &str) -> Result<u64, FunctionError> {
        let versions = Versions::of(file);
        let (name, version) = match symbol.split_once('@') {
            Some((name, version)) => (name, Some(version.trim_start_matches('@'))),
            None => (symbol, None),
        };
        let named: Vec<Symbol<'_, '_>> = file
            .dynamic_symbols()
            .filter(|entry| versions.is_default(entry))
            .chain(file.symbols().filter(|_| version.is_none()))
            .chain(file.dynamic_symbols())
            .filter(|entry| entry.name() == Ok(name))
            .collect();
        let is_meant = |entry: &&Symbol<'_, '_>| {
            is_function(entry) && version.is_none_or(|version| versions.name(entry) == version)
        };
        if let Some(function) = named.iter().find(is_meant) {
            return Ok(function.address());
        }
        if named
            .iter()
            .any(|entry| symbol_type(entry) == STT_GNU_IFUNC)
        {
            return Err(FunctionError::Indirect {
                path: self.path().to_owned(),
                symbol: symbol.to_owned(),
            });
        }
        let known_versions: Vec<String> = named
            .iter()
            .filter(|entry| is_function(entry) && version.is_some())
            .map(|entry| format!("{name}@{}", versions.name(entry)))
            .collect();
        Err(FunctionError::NoSymbol {
            path: self.path().to_owned(),
            symbol: symbol.to_owned(),
            hint: if known_versions.is_empty() {
                hint(file, name, &named)
            } else {
                did_you_mean(known_versions)
            },
        })
    }

    fn check_start(&self, file: &Parsed<'_>, address: u64) -> Result<(), FunctionError> {
        let not_a_start = |within| FunctionError::NotAStart {
            path: self.path().to_owned(),
            address,
            within,
        };
        let symbols = || file.symbols().chain(file.dynamic_symbols());
        let functions = || symbols().filter(|entry| is_function(entry));
        if functions().any(|function| function.address() == address) {
            return Ok(());
        }
        if let Some(function) = functions().find(|function| {
            (function.address()..function.address() + function.size()).contains(&address)
        }) {
            return Err(not_a_start(format!(
                ": it is {:#x} bytes into \"{}\", which begins at {:#x}",
                address - function.address(),
                function.name().unwrap_or_default(),
                function.address()
            )));
        }
        match unwind::frame_at(file, address) {
            Some(frame) if frame.is_call_entry() && frame.start == address => Ok(()),
            Some(frame) if frame.start == address => Err(not_a_start(
                ": it is the outlying part of a function, which is jumped to".to_owned(),
            )),
            Some(frame) => Err(not_a_start(format!(
                ": it is {:#x} bytes into the one at {:#x}",
                address - frame.start,
                frame.start
            ))),
            None => Err(not_a_start(String::new())),
        }
    }
}

type Symbol<'d, 'f> = ElfSymbol<'d, 'f, FileHeader64<Endianness>>;

fn symbol_type(entry: &Symbol<'_, '_>) -> u8 {
    entry.elf_symbol().st_type()
}

fn is_function(entry: &Symbol<'_, '_>) -> bool {
    symbol_type(entry) == STT_FUNC && entry.is_definition()
}

/// The versions of the dynamic symbols.
struct Versions<'d> {
    table: Option<VersionTable<'d, FileHeader64<Endianness>>>,
    endian: Endianness,
}

impl<'d> Versions<'d> {
    fn of(file: &Parsed<'d>) -> Self {
        let endian = file.endian();
        let table = file.elf_section_table().versions(endian, file.data());
        Self {
            table: table.unwrap_or_default(),
            endian,
        }
    }

    /// Whether programs that are linked today get this one.
    fn is_default(&self, entry: &Symbol<'_, '_>) -> bool {
        self.table
            .as_ref()
            .is_none_or(|table| !table.version_index(self.endian, entry.index()).is_hidden())
    }

    /// The version's name; "" without one.
    fn name(&self, entry: &Symbol<'_, '_>) -> &'d str {
        self.table
            .as_ref()
            .and_then(|table| {
                let index = table.version_index(self.endian, entry.index());
                let version = table.version(index).ok()??;
                str::from_utf8(version.name()).ok()
            })
            .unwrap_or_default()
    }
}

/// What may be meant by a name that no function has.
fn hint(file: &Parsed<'_>, name: &str, named: &[Symbol<'_, '_>]) -> String {
    if named.iter().any(ObjectSymbol::is_undefined) {
        return "; it calls one of another library: name that by --lib".to_owned();
    }
    if let Some((function, _)) = name.split_once('+') {
        return format!("; a function is timed as a whole: name \"{function}\" without an offset");
    }
    let mut near: Vec<(usize, &str)> = file
        .symbols()
        .chain(file.dynamic_symbols())
        .filter(is_function)
        .filter_map(|entry| entry.name().ok())
        .map(|other| (strsim::osa_distance(name, other), other))
        .filter(|(distance, other)| *distance <= 1 + name.len() / 5 || other.contains(name))
        .collect();
    near.sort_unstable();
    near.dedup();
    near.truncate(3);
    if near.is_empty() && file.symbols().next().is_none() {
        return "; its symbol table was stripped off, so only what other files may call has a name \
                (--offset takes an address)"
            .to_owned();
    }
    did_you_mean(near.into_iter().map(|(_, name)| name.to_owned()).collect())
}

fn did_you_mean(mut names: Vec<String>) -> String {
    names.dedup();
    if names.is_empty() {
        String::new()
    } else {
        format!("; did you mean {}?", names.join(" or "))
    }
}

/// The executable parts: first address, the one behind the last, offset into the file.
fn code(file: &Parsed<'_>) -> impl Iterator<Item = (u64, u64, u64)> {
    let endian = file.endian();
    file.elf_program_headers()
        .iter()
        .filter(move |header| {
            header.p_type(endian) == PT_LOAD && header.p_flags(endian) & PF_X != 0
        })
        .map(move |header| {
            let start = header.p_vaddr(endian);
            let end = start.saturating_add(header.p_filesz(endian));
            (start, end, header.p_offset(endian))
        })
}

fn code_offset(file: &Parsed<'_>, address: u64) -> Option<u64> {
    code(file).find_map(|(start, end, offset)| {
        (start..end)
            .contains(&address)
            .then(|| offset.wrapping_add(address - start))
    })
}

/// Whether Go's toolchain built the file. Its note stays when all names are stripped off.
fn is_go(file: &Parsed<'_>) -> bool {
    const SECTIONS: [&str; 3] = [".go.buildinfo", ".gopclntab", ".note.go.buildid"];
    let endian = file.endian();
    let has_note = || {
        file.elf_program_headers()
            .iter()
            .filter(|header| header.p_type(endian) == PT_NOTE)
            .filter_map(|header| header.notes(endian, file.data()).ok()?)
            .any(|mut notes| {
                std::iter::from_fn(|| notes.next().ok()?).any(|note| note.name() == b"Go")
            })
    };
    SECTIONS
        .iter()
        .any(|name| file.section_by_name(name).is_some())
        || has_note()
}

#[cfg(test)]
mod tests;

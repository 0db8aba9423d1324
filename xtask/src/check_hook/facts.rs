//! What an ELF file says that a loader, and whoever lives with the library, must care about.

use anyhow::Context as _;
use object::LittleEndian as LE;
use object::elf::{
    DF_1_NODELETE, DF_1_NOW, DF_BIND_NOW, DF_STATIC_TLS, DF_TEXTREL, DT_FLAGS, DT_FLAGS_1,
    DT_NEEDED, DT_RPATH, DT_RUNPATH, DT_TEXTREL, EM_AARCH64, EM_X86_64, ET_DYN, FileHeader64, PF_W,
    PF_X, PT_GNU_RELRO, PT_GNU_STACK, PT_LOAD, PT_TLS, R_AARCH64_ABS64, R_AARCH64_GLOB_DAT,
    R_AARCH64_JUMP_SLOT, R_AARCH64_RELATIVE, R_X86_64_64, R_X86_64_GLOB_DAT, R_X86_64_JUMP_SLOT,
    R_X86_64_RELATIVE, SHN_UNDEF, STB_LOCAL, STB_WEAK, STT_GNU_IFUNC,
};
use object::read::elf::{
    Dyn as _, FileHeader as _, ProgramHeader as _, SectionHeader as _, SectionTable, Sym as _,
};

use crate::check_hook::notes::{self, Note};

/// Relative relocations as a bitmap, of the generic ABI. The crate does not know it.
const DT_RELR: u32 = 36;

type Header = FileHeader64<LE>;

/// What was found.
#[derive(Clone, Debug, Default)]
#[cfg_attr(test, derive(PartialEq, Eq))]
pub struct Facts {
    /// Whether it is a library for one of the machines that the hook is for.
    pub is_library: bool,
    /// Bytes of the file.
    pub size: usize,
    /// The libraries that it asks for, in order.
    pub needed: Vec<String>,
    /// The folders that it wants libraries to be looked for in.
    pub search_paths: Vec<String>,
    /// `LIBRARY: VERSION` of each version that it asks a library for.
    pub version_needs: Vec<String>,
    /// The symbols that it imports.
    pub imports: Vec<String>,
    /// Those of them that it could do without, as far as the linker knows.
    pub weak_imports: Vec<String>,
    /// The symbols that it exports.
    pub exports: Vec<String>,
    /// Symbols whose address a function of the library chooses while it loads.
    pub indirect: Vec<String>,
    /// Whether the loader must write to code.
    pub text_relocations: bool,
    /// Whether relocations are packed as only new loaders understand.
    pub packed_relocations: bool,
    /// Types of relocations that are not plain addresses.
    pub odd_relocations: Vec<u32>,
    /// Whether the stack would become executable.
    pub executable_stack: bool,
    /// Segments that are writable and executable.
    pub writable_code: usize,
    /// Whether the tables of addresses become read-only.
    pub relro: bool,
    /// Whether all is bound before the library is used.
    pub bind_now: bool,
    /// Whether it stays when it is unloaded.
    pub stays_loaded: bool,
    /// Whether it has storage of its own in each thread.
    pub thread_storage: bool,
    /// Its USDT notes.
    pub notes: Vec<Note>,
    /// Names of the notes whose instruction does not lie in code.
    pub sites_outside_code: Vec<String>,
    /// Names of the notes whose semaphore does not lie in writable memory.
    pub semaphores_outside_data: Vec<String>,
}

impl Facts {
    /// Reads a file.
    pub fn read(bytes: &[u8]) -> anyhow::Result<Self> {
        let header = Header::parse(bytes)?;
        let machine = header.e_machine(LE);
        let mut facts = Self {
            is_library: header.e_type(LE) == ET_DYN && [EM_X86_64, EM_AARCH64].contains(&machine),
            size: bytes.len(),
            ..Self::default()
        };
        let sections = header.sections(LE, bytes)?;
        facts.read_symbols(&sections, bytes)?;
        facts.read_dynamic(&sections, bytes)?;
        facts.read_relocations(machine, &sections, bytes)?;
        facts.read_version_needs(&sections, bytes)?;
        facts.read_segments(header, bytes)?;
        facts.read_notes(header, &sections, bytes)?;
        Ok(facts)
    }

    fn read_symbols(&mut self, sections: &Sections<'_>, bytes: &[u8]) -> anyhow::Result<()> {
        let symbols = sections.symbols(LE, bytes, object::elf::SHT_DYNSYM)?;
        for symbol in symbols.iter() {
            let name = text(symbol.name(LE, symbols.strings())?);
            if symbol.st_bind() == STB_LOCAL || name.is_empty() {
                continue;
            }
            if symbol.st_type() == STT_GNU_IFUNC {
                self.indirect.push(name.clone());
            }
            if symbol.st_shndx(LE) == SHN_UNDEF {
                if symbol.st_bind() == STB_WEAK {
                    self.weak_imports.push(name.clone());
                }
                self.imports.push(name);
            } else {
                self.exports.push(name);
            }
        }
        self.imports.sort_unstable();
        self.exports.sort_unstable();
        Ok(())
    }

    fn read_dynamic(&mut self, sections: &Sections<'_>, bytes: &[u8]) -> anyhow::Result<()> {
        let (entries, link) = sections
            .dynamic(LE, bytes)?
            .context("has no dynamic section")?;
        let strings = sections.strings(LE, bytes, link)?;
        for entry in entries {
            let value = entry.d_val(LE);
            let Some(tag) = entry.tag32(LE) else { continue };
            match tag {
                DT_NEEDED => self.needed.push(text(entry.string(LE, strings)?)),
                DT_RPATH | DT_RUNPATH => self.search_paths.push(text(entry.string(LE, strings)?)),
                DT_TEXTREL => self.text_relocations = true,
                DT_RELR => self.packed_relocations = true,
                DT_FLAGS => {
                    self.text_relocations |= value & u64::from(DF_TEXTREL) != 0;
                    self.bind_now |= value & u64::from(DF_BIND_NOW) != 0;
                    self.thread_storage |= value & u64::from(DF_STATIC_TLS) != 0;
                }
                DT_FLAGS_1 => {
                    self.bind_now |= value & u64::from(DF_1_NOW) != 0;
                    self.stays_loaded = value & u64::from(DF_1_NODELETE) != 0;
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn read_relocations(
        &mut self,
        machine: u16,
        sections: &Sections<'_>,
        bytes: &[u8],
    ) -> anyhow::Result<()> {
        let plain = if machine == EM_AARCH64 {
            [
                R_AARCH64_RELATIVE,
                R_AARCH64_GLOB_DAT,
                R_AARCH64_JUMP_SLOT,
                R_AARCH64_ABS64,
            ]
        } else {
            [
                R_X86_64_RELATIVE,
                R_X86_64_GLOB_DAT,
                R_X86_64_JUMP_SLOT,
                R_X86_64_64,
            ]
        };
        for section in sections.iter() {
            // Sections of link time (not in memory) do not concern the loader.
            if section.sh_flags(LE) & u64::from(object::elf::SHF_ALLOC) == 0 {
                continue;
            }
            let Some((relocations, _)) = section.rela(LE, bytes)? else {
                continue;
            };
            let odd = relocations
                .iter()
                .map(|relocation| relocation.r_type(LE, false))
                .filter(|kind| !plain.contains(kind));
            self.odd_relocations.extend(odd);
        }
        Ok(())
    }

    fn read_version_needs(&mut self, sections: &Sections<'_>, bytes: &[u8]) -> anyhow::Result<()> {
        let Some((mut needs, link)) = sections.gnu_verneed(LE, bytes)? else {
            return Ok(());
        };
        let strings = sections.strings(LE, bytes, link)?;
        while let Some((need, mut versions)) = needs.next()? {
            let library = text(need.file(LE, strings)?);
            while let Some(version) = versions.next()? {
                let version = text(version.name(LE, strings)?);
                self.version_needs.push(format!("{library}: {version}"));
            }
        }
        Ok(())
    }

    fn read_segments(&mut self, header: &Header, bytes: &[u8]) -> anyhow::Result<()> {
        // Without the header, the loader takes the stack for executable.
        self.executable_stack = true;
        for segment in header.program_headers(LE, bytes)? {
            let flags = segment.p_flags(LE);
            match segment.p_type(LE) {
                PT_GNU_STACK => self.executable_stack = flags & PF_X != 0,
                PT_GNU_RELRO => self.relro = true,
                PT_TLS => self.thread_storage = true,
                PT_LOAD if flags & PF_W != 0 && flags & PF_X != 0 => self.writable_code += 1,
                _ => {}
            }
        }
        Ok(())
    }

    fn read_notes(
        &mut self,
        header: &Header,
        sections: &Sections<'_>,
        bytes: &[u8],
    ) -> anyhow::Result<()> {
        let Some((_, section)) = sections.section_by_name(LE, b".note.stapsdt") else {
            return Ok(());
        };
        self.notes = notes::parse(section.data(LE, bytes)?);
        let segments = header.program_headers(LE, bytes)?;
        let lies_in = |address: u64, wanted: u32| {
            segments.iter().any(|segment| {
                let within = address.checked_sub(segment.p_vaddr(LE));
                segment.p_type(LE) == PT_LOAD
                    && segment.p_flags(LE) & wanted != 0
                    && within.is_some_and(|within| within < segment.p_memsz(LE))
            })
        };
        for note in &self.notes {
            if !lies_in(note.location, PF_X) {
                self.sites_outside_code.push(note.name.clone());
            }
            if !lies_in(note.semaphore, PF_W) {
                self.semaphores_outside_data.push(note.name.clone());
            }
        }
        Ok(())
    }
}

type Sections<'b> = SectionTable<'b, Header>;

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[cfg(test)]
mod tests;

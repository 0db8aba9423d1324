//! What the unwind table of an ELF file says of an address. Nearly every file has one, stripped or
//! not, as exceptions and backtraces need it.

use gimli::{
    BaseAddresses, CfaRule, CieOrFde, EhFrame, NativeEndian, Register, UnwindContext,
    UnwindSection as _,
};
use object::{Object as _, ObjectSection as _};

use crate::discover::elf::Parsed;

/// The stack pointer, and where it stands below the caller's frame when a call has just been made.
#[cfg(target_arch = "x86_64")]
const AFTER_CALL: (Register, i64) = (gimli::X86_64::RSP, 8);
#[cfg(target_arch = "aarch64")]
const AFTER_CALL: (Register, i64) = (gimli::AArch64::SP, 0);

/// A run of code that unwinds by one table: a function, or an outlying part of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Its first address.
    pub start: u64,
    /// The register and offset that find the caller's frame at the first address, if it is so found.
    frame_base: Option<(Register, i64)>,
}

impl Frame {
    /// Whether it begins as code does that has just been called. Code that is jumped to, with a frame
    /// already set up, does not.
    pub fn is_call_entry(&self) -> bool {
        self.frame_base == Some(AFTER_CALL)
    }
}

/// The frame that an address lies in.
pub fn frame_at(file: &Parsed<'_>, address: u64) -> Option<Frame> {
    let section = file.section_by_name(".eh_frame")?;
    let table = EhFrame::new(section.data().ok()?, NativeEndian);
    let mut bases = BaseAddresses::default().set_eh_frame(section.address());
    if let Some(text) = file.section_by_name(".text") {
        bases = bases.set_text(text.address());
    }
    let mut entries = table.entries(&bases);
    while let Ok(Some(entry)) = entries.next() {
        let CieOrFde::Fde(partial) = entry else {
            continue;
        };
        let Ok(entry) = partial.parse(EhFrame::cie_from_offset) else {
            continue;
        };
        if !entry.contains(address) {
            continue;
        }
        let mut context = UnwindContext::new();
        let mut rows = entry.rows(&table, &bases, &mut context).ok()?;
        let frame_base = match rows.next_row().ok()??.cfa() {
            CfaRule::RegisterAndOffset { register, offset } => Some((*register, *offset)),
            CfaRule::Expression(_) => None,
        };
        return Some(Frame {
            start: entry.initial_address(),
            frame_base,
        });
    }
    None
}

#[cfg(test)]
mod tests {
    use object::ObjectSymbol as _;

    use super::*;
    use crate::discover::elf::Elf;

    #[test]
    fn a_function_begins_as_after_a_call_and_is_found_from_within() {
        let elf = Elf::open(&std::env::current_exe().unwrap()).unwrap();
        let file = elf.parse().unwrap();
        let main = file
            .symbols()
            .find(|entry| entry.name() == Ok("main"))
            .unwrap();
        let frame = frame_at(&file, main.address()).unwrap();
        assert_eq!(frame.start, main.address());
        assert!(frame.is_call_entry(), "{frame:?}");
        assert_eq!(frame_at(&file, main.address() + 1), Some(frame));
        assert_eq!(frame_at(&file, 0), None);
    }
}

//! Where the kernel's structures have their members, by its own type information (BTF).
//!
//! aya reads BTF too, and keeps the members of structures to itself.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, bail, ensure};

/// The kernel's types.
const VMLINUX: &str = "/sys/kernel/btf/vmlinux";

/// Whether the kernel shows its types.
pub fn are_shown() -> bool {
    Path::new(VMLINUX).exists()
}

const MAGIC: u16 = 0xeb9f;
const HEADER: usize = 24;

// Kinds of `include/uapi/linux/btf.h`.
const INT: u32 = 1;
const ARRAY: u32 = 3;
const STRUCT: u32 = 4;
const UNION: u32 = 5;
const ENUM: u32 = 6;
const FUNC_PROTO: u32 = 13;
const VAR: u32 = 14;
const DATASEC: u32 = 15;
const DECL_TAG: u32 = 17;
const ENUM64: u32 = 19;
const LAST_KIND: u32 = 19;

/// The kernel's types.
#[derive(Debug)]
pub struct KernelTypes {
    bytes: Vec<u8>,
    strings: usize,
    /// Where each type begins, by number less one.
    types: Vec<usize>,
}

impl KernelTypes {
    /// Those of the running kernel.
    pub fn of_this_kernel() -> anyhow::Result<Self> {
        let bytes = fs::read(VMLINUX).with_context(|| format!("cannot read {VMLINUX}"))?;
        Self::parse(bytes).with_context(|| format!("cannot read {VMLINUX}"))
    }

    fn parse(bytes: Vec<u8>) -> anyhow::Result<Self> {
        let mut parsed = Self {
            bytes,
            strings: 0,
            types: Vec::new(),
        };
        ensure!(
            parsed.word(0)? & 0xffff == u32::from(MAGIC),
            "it is no BTF of this machine"
        );
        let header = parsed.word(4)? as usize;
        ensure!(header >= HEADER, "its header is too short");
        let start = header + parsed.word(8)? as usize;
        let end = start + parsed.word(12)? as usize;
        parsed.strings = header + parsed.word(16)? as usize;
        let mut at = start;
        while at < end {
            parsed.types.push(at);
            at += parsed.size_of_type(at)?;
        }
        Ok(parsed)
    }

    fn word(&self, at: usize) -> anyhow::Result<u32> {
        let bytes = self.bytes.get(at..at + 4).context("it ends too early")?;
        Ok(u32::from_ne_bytes(bytes.try_into()?))
    }

    fn kind(&self, at: usize) -> anyhow::Result<u32> {
        Ok((self.word(at + 4)? >> 24) & 0x1f)
    }

    fn members(&self, at: usize) -> anyhow::Result<usize> {
        Ok((self.word(at + 4)? & 0xffff) as usize)
    }

    fn size_of_type(&self, at: usize) -> anyhow::Result<usize> {
        let members = self.members(at)?;
        let more = match self.kind(at)? {
            INT | VAR | DECL_TAG => 4,
            ARRAY => 12,
            STRUCT | UNION | DATASEC | ENUM64 => 12 * members,
            ENUM | FUNC_PROTO => 8 * members,
            kind if kind > LAST_KIND => {
                bail!("it has types of kind {kind}, which this version does not know")
            }
            _ => 0,
        };
        Ok(12 + more)
    }

    fn has_name(&self, offset: u32, name: &str) -> bool {
        let at = self.strings + offset as usize;
        let bytes = self.bytes.get(at..at + name.len() + 1);
        bytes.is_some_and(|bytes| bytes.strip_suffix(&[0]) == Some(name.as_bytes()))
    }

    fn structure(&self, name: &str) -> anyhow::Result<usize> {
        for at in &self.types {
            if self.kind(*at)? == STRUCT && self.has_name(self.word(*at)?, name) {
                return Ok(*at);
            }
        }
        bail!("the kernel has no struct {name}")
    }

    /// Size of a structure, in bytes.
    pub fn size(&self, structure: &str) -> anyhow::Result<u64> {
        let at = self.structure(structure)?;
        Ok(u64::from(self.word(at + 8)?))
    }

    /// Where a structure has a member, in bytes.
    pub fn offset(&self, structure: &str, member: &str) -> anyhow::Result<u64> {
        let bits = self.find(self.structure(structure)?, member)?;
        let bits =
            bits.with_context(|| format!("the kernel's struct {structure} has no {member}"))?;
        ensure!(
            bits % 8 == 0,
            "the kernel's {structure}.{member} begins within a byte"
        );
        Ok(bits / 8)
    }

    /// Where a structure or one without a name in it has a member, in bits.
    fn find(&self, at: usize, member: &str) -> anyhow::Result<Option<u64>> {
        // Offsets share their word with sizes of bit fields if this is set.
        let has_sizes = self.word(at + 4)? >> 31 == 1;
        for index in 0..self.members(at)? {
            let entry = at + 12 + 12 * index;
            let name = self.word(entry)?;
            let offset = self.word(entry + 8)?;
            let bits = u64::from(if has_sizes {
                offset & 0xff_ffff
            } else {
                offset
            });
            if self.has_name(name, member) {
                return Ok(Some(bits));
            }
            if self.has_name(name, "")
                && let Some(inner) = self
                    .types
                    .get((self.word(entry + 4)? as usize).wrapping_sub(1))
                && matches!(self.kind(*inner)?, STRUCT | UNION)
                && let Some(within) = self.find(*inner, member)?
            {
                return Ok(Some(bits + within));
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests;

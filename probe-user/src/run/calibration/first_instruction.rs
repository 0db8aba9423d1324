//! What a function begins with decides what a uprobe on it costs: some instructions the kernel
//! emulates, some it turns into a call, and the others it executes out of line in single-step mode.
//!
//! The kernel's choice is in `arch/x86/kernel/uprobes.c` (`branch_setup_xol_ops`, `push_setup_xol_ops`)
//! and `arch/arm64/kernel/probes/decode-insn.c`. What it chooses changes with its version, so the
//! kinds here are kinds of instructions, and what each costs is measured.

use serde::{Deserialize, Serialize};

/// The kind of a function's first instruction, as far as kernels treat kinds differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FirstInstruction {
    /// A register is pushed (x86-64).
    Push,
    /// `endbr64`, the landing pad of indirect branches (x86-64, `-fcf-protection`).
    Endbr64,
    /// A NOP of one instruction's usual length: 1 byte on x86-64, 4 on arm64.
    Nop,
    /// The 5-byte NOP (x86-64, `-fpatchable-function-entry=5`, `-mnop-mcount`).
    Nop5,
    /// A jump or branch.
    Jump,
    /// The stack pointer is lowered (`sub`).
    StackAllocation,
    /// A pair of registers is pushed (arm64 `stp` with writeback).
    StorePair,
    /// A hint: `bti`, `paciasp` (arm64).
    Hint,
    /// Anything else.
    Other,
}

impl FirstInstruction {
    /// Its name in output.
    pub fn name(self) -> &'static str {
        match self {
            Self::Push => "push",
            Self::Endbr64 => "endbr64",
            Self::Nop => "nop",
            Self::Nop5 => "5-byte nop",
            Self::Jump => "jump",
            Self::StackAllocation => "sub from the stack pointer",
            Self::StorePair => "stp",
            Self::Hint => "hint",
            Self::Other => "other",
        }
    }

    /// The kind of the instruction that code begins with, on this machine's architecture.
    pub fn of(code: &[u8]) -> Self {
        if cfg!(target_arch = "aarch64") {
            Self::of_arm64(code)
        } else {
            Self::of_x86_64(code)
        }
    }

    /// Opcodes: Intel's manual, volume 2.
    fn of_x86_64(code: &[u8]) -> Self {
        match code {
            [0x50..=0x57, ..] | [0x41, 0x50..=0x57, ..] => Self::Push,
            [0xf3, 0x0f, 0x1e, 0xfa, ..] => Self::Endbr64,
            [0x90, ..] => Self::Nop,
            [0x0f, 0x1f, 0x44, 0x00, 0x00, ..] => Self::Nop5,
            [0xe9 | 0xeb, ..] => Self::Jump,
            [0x48, 0x83 | 0x81, 0xec, ..] => Self::StackAllocation,
            _ => Self::Other,
        }
    }

    /// Encodings: Arm's Architecture Reference Manual, section C4.1.
    fn of_arm64(code: &[u8]) -> Self {
        let Some(word) = code.first_chunk() else {
            return Self::Other;
        };
        let word = u32::from_le_bytes(*word);
        match word {
            0xd503_201f => Self::Nop,
            _ if word & 0xffff_f01f == 0xd503_201f => Self::Hint,
            _ if word & 0xffc0_0000 == 0xa980_0000 => Self::StorePair,
            _ if word & 0xfc00_0000 == 0x1400_0000 => Self::Jump,
            _ if word & 0xff80_03ff == 0xd100_03ff => Self::StackAllocation,
            _ => Self::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::FirstInstruction as F;

    /// The bytes are the assembler's (`as`, `objdump -d`).
    #[test]
    fn instructions_of_x86_64() {
        for (code, kind) in [
            (&[0x55, 0x48, 0x89, 0xe5][..], F::Push), // push %rbp
            (&[0x41, 0x57], F::Push),                 // push %r15
            (&[0xf3, 0x0f, 0x1e, 0xfa, 0x55], F::Endbr64),
            (&[0xf3, 0x0f, 0x1e, 0xfb], F::Other), // endbr32
            (&[0x90], F::Nop),
            (&[0x0f, 0x1f, 0x44, 0x00, 0x00], F::Nop5),
            (&[0x0f, 0x1f, 0x40, 0x00], F::Other), // the 4-byte NOP
            (&[0xeb, 0x02], F::Jump),
            (&[0x48, 0x83, 0xec, 0x08], F::StackAllocation), // sub $8,%rsp
            (&[0x48, 0x81, 0xec, 0, 1, 0, 0], F::StackAllocation),
            (&[0x31, 0xc0], F::Other), // xor %eax,%eax
            (&[], F::Other),
        ] {
            assert_eq!(F::of_x86_64(code), kind, "{code:x?}");
        }
    }

    #[test]
    fn instructions_of_arm64() {
        for (word, kind) in [
            (0xd503_201f_u32, F::Nop),
            (0xd503_245f, F::Hint),            // bti c
            (0xd503_233f, F::Hint),            // paciasp
            (0xa9bf_7bfd, F::StorePair),       // stp x29, x30, [sp, #-16]!
            (0x1400_0001, F::Jump),            // b .+4
            (0xd100_43ff, F::StackAllocation), // sub sp, sp, #16
            (0xd65f_03c0, F::Other),           // ret
        ] {
            assert_eq!(F::of_arm64(&word.to_le_bytes()), kind, "{word:x}");
        }
        assert_eq!(F::of_arm64(&[0x1f]), F::Other);
    }
}

//! Functions that do nothing, one for each kind of first instruction. A probe on one of them sees
//! what probing itself takes.
#![allow(
    unsafe_code,
    reason = "the functions are assembly, and calls of them are foreign"
)]

use core::arch::global_asm;

use super::first_instruction::FirstInstruction;

unsafe extern "C" {
    #[cfg(target_arch = "x86_64")]
    fn calibrate_push();
    #[cfg(target_arch = "x86_64")]
    fn calibrate_endbr64();
    #[cfg(target_arch = "x86_64")]
    fn calibrate_nop5();
    #[cfg(target_arch = "aarch64")]
    fn calibrate_store_pair();
    #[cfg(target_arch = "aarch64")]
    fn calibrate_hint();
    fn calibrate_nop();
    fn calibrate_jump();
    fn calibrate_stack_allocation();
    fn calibrate_other();
}

macro_rules! function {
    ($name:literal, $($line:literal),+) => {
        global_asm!(
            ".pushsection .text.calibrate, \"ax\", @progbits",
            ".balign 64", // a probe that becomes a call must not cross a page or a cache line
            concat!(".globl ", $name),
            concat!(".hidden ", $name),
            concat!(".type ", $name, ", @function"),
            concat!($name, ":"),
            ".cfi_startproc",
            $($line,)+
            ".cfi_endproc",
            concat!(".size ", $name, ", . - ", $name),
            ".popsection",
        );
    };
}

#[cfg(target_arch = "x86_64")]
mod code {
    use super::global_asm;

    function!(
        "calibrate_push",
        "push rbp",
        ".cfi_adjust_cfa_offset 8",
        "pop rbp",
        ".cfi_adjust_cfa_offset -8",
        "ret"
    );
    function!("calibrate_endbr64", "endbr64", "ret");
    function!("calibrate_nop", "nop", "ret");
    function!(
        "calibrate_nop5",
        ".byte 0x0f, 0x1f, 0x44, 0x00, 0x00",
        "ret"
    );
    function!("calibrate_jump", ".byte 0xeb, 0x00", "ret");
    function!(
        "calibrate_stack_allocation",
        "sub rsp, 8",
        ".cfi_adjust_cfa_offset 8",
        "add rsp, 8",
        ".cfi_adjust_cfa_offset -8",
        "ret"
    );
    function!("calibrate_other", "xor eax, eax", "ret");
}

#[cfg(target_arch = "aarch64")]
mod code {
    use super::global_asm;

    function!(
        "calibrate_store_pair",
        "stp x29, x30, [sp, #-16]!",
        ".cfi_adjust_cfa_offset 16",
        "ldp x29, x30, [sp], #16",
        ".cfi_adjust_cfa_offset -16",
        "ret"
    );
    function!("calibrate_hint", "hint #34", "ret");
    function!("calibrate_nop", "nop", "ret");
    function!("calibrate_jump", "b 2f", "2: ret");
    function!(
        "calibrate_stack_allocation",
        "sub sp, sp, #16",
        ".cfi_adjust_cfa_offset 16",
        "add sp, sp, #16",
        ".cfi_adjust_cfa_offset -16",
        "ret"
    );
    function!("calibrate_other", "mov x0, #0", "ret");
}

/// A function that does nothing.
#[derive(Clone, Copy, Debug)]
pub struct Empty {
    /// What it begins with.
    pub begins_with: FirstInstruction,
    code: unsafe extern "C" fn(),
}

impl Empty {
    /// Where it is in memory.
    pub fn address(self) -> u64 {
        self.code as usize as u64
    }

    /// Calls it.
    #[inline(always)]
    #[allow(clippy::inline_always, reason = "a call more would be timed too")]
    pub fn call(self) {
        // SAFETY: the function takes nothing, returns nothing and keeps all registers but the result's.
        unsafe { (self.code)() };
    }
}

/// All of them.
pub const EMPTY_FUNCTIONS: &[Empty] = &[
    #[cfg(target_arch = "x86_64")]
    Empty {
        begins_with: FirstInstruction::Push,
        code: calibrate_push,
    },
    #[cfg(target_arch = "x86_64")]
    Empty {
        begins_with: FirstInstruction::Endbr64,
        code: calibrate_endbr64,
    },
    #[cfg(target_arch = "x86_64")]
    Empty {
        begins_with: FirstInstruction::Nop5,
        code: calibrate_nop5,
    },
    #[cfg(target_arch = "aarch64")]
    Empty {
        begins_with: FirstInstruction::StorePair,
        code: calibrate_store_pair,
    },
    #[cfg(target_arch = "aarch64")]
    Empty {
        begins_with: FirstInstruction::Hint,
        code: calibrate_hint,
    },
    Empty {
        begins_with: FirstInstruction::Nop,
        code: calibrate_nop,
    },
    Empty {
        begins_with: FirstInstruction::Jump,
        code: calibrate_jump,
    },
    Empty {
        begins_with: FirstInstruction::StackAllocation,
        code: calibrate_stack_allocation,
    },
    Empty {
        begins_with: FirstInstruction::Other,
        code: calibrate_other,
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_function_begins_with_what_it_says_and_returns() {
        for empty in EMPTY_FUNCTIONS {
            let code = empty.code as *const [u8; 16];
            // SAFETY: each function is followed by the padding to 64 bytes, or by other code.
            let code = unsafe { code.read_unaligned() };
            assert_eq!(FirstInstruction::of(&code), empty.begins_with, "{code:x?}");
            empty.call();
        }
    }
}

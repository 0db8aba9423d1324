//! The probe sites: `readhook:read_done`, `readhook:accepted` and `readhook:closed`.
//!
//! They are SystemTap-style USDT notes with a semaphore, so bpftrace, perf and bcc see them as they
//! see any other. While no tracer is attached the semaphore is zero and no site is executed.
//!
//! Each site is a function of its own. On x86-64 its body is a 1-byte nop, a 10-byte NOP, a 5-byte
//! NOP and a return. The note points at the first, where every kernel can attach. Kernels that turn
//! a probe on a NOP into a call, which costs half of a trap, do so on the second or the third,
//! depending on their version; `probe-user` asks which. That call pushes onto the user stack below
//! the return address, where this function keeps nothing: that is why it is a function.
#![allow(
    unsafe_code,
    reason = "the sites are assembly, and their semaphores are written by the kernel"
)]

use core::arch::global_asm;
use core::sync::atomic::{AtomicU16, Ordering};

use crate::call::Function;
use crate::connection::Peer;

/// Counts the tracers of a site. The kernel writes it, in the memory of each traced process.
#[repr(transparent)]
pub struct Semaphore(AtomicU16);

impl Semaphore {
    /// Whether any tracer is attached.
    #[inline]
    pub fn is_watched(&self) -> bool {
        // Without sites, for the bench to count what they cost.
        !cfg!(feature = "without-sites") && self.0.load(Ordering::Relaxed) != 0
    }
}

/// Semaphore of `readhook:read_done`.
#[unsafe(link_section = ".probes")]
pub static READ_DONE: Semaphore = Semaphore(AtomicU16::new(0));
/// Semaphore of `readhook:accepted`.
#[unsafe(link_section = ".probes")]
pub static ACCEPTED: Semaphore = Semaphore(AtomicU16::new(0));
/// Semaphore of `readhook:closed`.
#[unsafe(link_section = ".probes")]
pub static CLOSED: Semaphore = Semaphore(AtomicU16::new(0));

/// The first argument of `read_done`: descriptor, matched word and function in one register, since
/// a call has only six.
///
/// Bits 0-31 hold the descriptor, bits 32-47 the rank of the matched word plus one (0: no match),
/// bits 48-55 which function was called: the number of its [`Function`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub struct CallWord(u64);

impl CallWord {
    /// Packs a call.
    pub fn new(function: Function, fd: i32, matched: Option<u16>) -> Self {
        let word = matched.map_or(0, |rank| u64::from(rank) + 1);
        Self(u64::from(fd.cast_unsigned()) | word << 32 | u64::from(function as u8) << 48)
    }
}

#[cfg(target_arch = "x86_64")]
macro_rules! site_body {
    () => {
        "990: .byte 0x90
         .byte 0x66, 0x2e, 0x0f, 0x1f, 0x84, 0x00, 0x00, 0x00, 0x00, 0x00
         .byte 0x0f, 0x1f, 0x44, 0x00, 0x00
         ret"
    };
}
#[cfg(target_arch = "aarch64")]
macro_rules! site_body {
    () => {
        "990: nop
         ret"
    };
}

/// Emits the function of one site and its note: type 3, owner `stapsdt`, with the addresses of the
/// site, of the section base and of the semaphore, then provider, name and arguments. The layout is
/// that of `<sys/sdt.h>`: <https://sourceware.org/systemtap/wiki/UserSpaceProbeImplementation>.
macro_rules! site {
    ($function:literal, $name:literal, $arguments:literal, $semaphore:path) => {
        global_asm!(
            concat!(
                ".pushsection .text.readhook_sites, \"ax\", @progbits\n",
                ".balign 32\n", // the optimised probe must not cross a page
                ".globl ", $function, "\n",
                ".hidden ", $function, "\n",
                ".type ", $function, ", @function\n",
                $function, ":\n",
                ".cfi_startproc\n",
                site_body!(), "\n",
                ".cfi_endproc\n",
                ".size ", $function, ", . - ", $function, "\n",
                ".popsection\n",
                ".pushsection .note.stapsdt, \"\", @note\n",
                ".balign 4\n",
                ".4byte 992f - 991f, 994f - 993f, 3\n",
                "991: .asciz \"stapsdt\"\n",
                "992: .balign 4\n",
                "993: .8byte 990b\n",
                ".8byte _.stapsdt.base\n",
                ".8byte {semaphore}\n",
                ".asciz \"readhook\"\n",
                ".asciz \"", $name, "\"\n",
                ".asciz \"", $arguments, "\"\n",
                "994: .balign 4\n",
                ".popsection\n",
                ".ifndef _.stapsdt.base\n",
                ".pushsection .stapsdt.base, \"aG\", @progbits, .stapsdt.base, comdat\n",
                ".weak _.stapsdt.base\n",
                ".hidden _.stapsdt.base\n",
                "_.stapsdt.base: .space 1\n",
                ".size _.stapsdt.base, 1\n",
                ".popsection\n",
                ".endif\n",
            ),
            semaphore = sym $semaphore,
        );
    };
}

// The arguments name registers, so the notes differ by architecture. `-4` is a signed int, `8` an
// unsigned 64-bit word.
#[cfg(target_arch = "x86_64")]
mod notes {
    use super::{ACCEPTED, CLOSED, READ_DONE, global_asm};

    // fd, returned, enter_ns, inner_exit_ns, exit_ns, connection, call word
    site!(
        "readhook_site_read_done",
        "read_done",
        "-4@%edi -8@%rsi 8@%rdx 8@%rcx 8@%r8 8@%r9 8@%rdi",
        READ_DONE
    );
    // fd, connection, peer family, peer port, accepted_ns
    site!(
        "readhook_site_accepted",
        "accepted",
        "-4@%edi 8@%rsi 4@%edx 4@%ecx 8@%r8",
        ACCEPTED
    );
    // fd, connection
    site!("readhook_site_closed", "closed", "-4@%edi 8@%rsi", CLOSED);
}

#[cfg(target_arch = "aarch64")]
mod notes {
    use super::{ACCEPTED, CLOSED, READ_DONE, global_asm};

    site!(
        "readhook_site_read_done",
        "read_done",
        "-4@x0 -8@x1 8@x2 8@x3 8@x4 8@x5 8@x0",
        READ_DONE
    );
    site!(
        "readhook_site_accepted",
        "accepted",
        "-4@x0 8@x1 4@x2 4@x3 8@x4",
        ACCEPTED
    );
    site!("readhook_site_closed", "closed", "-4@x0 8@x1", CLOSED);
}

unsafe extern "C" {
    fn readhook_site_read_done(
        call: CallWord,
        returned: isize,
        enter_ns: u64,
        inner_exit_ns: u64,
        exit_ns: u64,
        connection: u64,
    );
    fn readhook_site_accepted(fd: i32, connection: u64, family: u32, port: u32, accepted_ns: u64);
    fn readhook_site_closed(fd: i32, connection: u64);
}

/// Fires `readhook:read_done`: a read of a connection is about to return to the program.
#[inline]
pub fn read_done(
    call: CallWord,
    returned: isize,
    enter_ns: u64,
    inner_exit_ns: u64,
    exit_ns: u64,
    connection: u64,
) {
    // SAFETY: the site does nothing but return; a tracer may read its arguments.
    unsafe {
        readhook_site_read_done(call, returned, enter_ns, inner_exit_ns, exit_ns, connection);
    }
}

/// Fires `readhook:accepted`: a connection was accepted and marked.
#[cold]
pub fn accepted(fd: i32, connection: u64, peer: Peer, accepted_ns: u64) {
    let (family, port) = (u32::from(peer.family), u32::from(peer.port));
    // SAFETY: as in `read_done`.
    unsafe { readhook_site_accepted(fd, connection, family, port, accepted_ns) };
}

/// Fires `readhook:closed`: the program closes a marked connection.
#[cold]
pub fn closed(fd: i32, connection: u64) {
    // SAFETY: as in `read_done`.
    unsafe { readhook_site_closed(fd, connection) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_call_word_keeps_function_descriptor_and_word_apart() {
        let word = |function, fd, matched| CallWord::new(function, fd, matched).0;
        assert_eq!(word(Function::Read, 7, None), 7);
        assert_eq!(word(Function::Read, 7, Some(0)), 1 << 32 | 7);
        assert_eq!(
            word(Function::ReadV, -1, Some(199)),
            4 << 48 | 200 << 32 | 0xffff_ffff
        );
    }

    #[test]
    fn a_site_nobody_watches_returns_at_once() {
        assert!(!READ_DONE.is_watched() && !ACCEPTED.is_watched() && !CLOSED.is_watched());
        read_done(CallWord::new(Function::Read, 1, None), 0, 0, 0, 0, 1);
        accepted(
            1,
            1,
            Peer {
                family: 2,
                port: 80,
            },
            0,
        );
        closed(1, 1);
    }
}

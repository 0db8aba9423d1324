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
//!
//! A library that has sites invokes [`sites`] in a module of its own.

use core::sync::atomic::{AtomicU16, Ordering};

/// A function of the family that reads. The number is what the site reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Function {
    /// `read(2)`.
    Read = 0,
    /// `recv(2)`.
    Recv = 1,
    /// `recvfrom(2)`.
    RecvFrom = 2,
    /// `recvmsg(2)`.
    RecvMsg = 3,
    /// `readv(2)`.
    ReadV = 4,
}

impl Function {
    /// How many there are.
    pub const COUNT: usize = 5;
}

/// Counts the tracers of a site. The kernel writes it, in the memory of each traced process. Without sites, for a bench to
/// count what they cost, nobody looks at it.
#[derive(Debug)]
#[repr(transparent)]
pub struct Semaphore<const HAS_SITE: bool>(AtomicU16);

impl<const HAS_SITE: bool> Semaphore<HAS_SITE> {
    /// Of no tracer.
    #[allow(clippy::new_without_default, reason = "it is for statics")]
    pub const fn new() -> Self {
        Self(AtomicU16::new(0))
    }

    /// Whether any tracer is attached.
    #[inline]
    pub fn is_watched(&self) -> bool {
        HAS_SITE && self.0.load(Ordering::Relaxed) != 0
    }
}

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
    #[inline]
    pub fn new(function: Function, fd: i32, matched: Option<u16>) -> Self {
        let word = matched.map_or(0, |rank| u64::from(rank) + 1);
        Self(u64::from(fd.cast_unsigned()) | word << 32 | u64::from(function as u8) << 48)
    }
}

/// The code of a site.
#[cfg(target_arch = "x86_64")]
#[doc(hidden)]
#[macro_export]
macro_rules! site_body {
    () => {
        "990: .byte 0x90
         .byte 0x66, 0x2e, 0x0f, 0x1f, 0x84, 0x00, 0x00, 0x00, 0x00, 0x00
         .byte 0x0f, 0x1f, 0x44, 0x00, 0x00
         ret"
    };
}
/// The code of a site.
#[cfg(target_arch = "aarch64")]
#[doc(hidden)]
#[macro_export]
macro_rules! site_body {
    () => {
        "990: nop
         ret"
    };
}

/// Emits the function of one site and its note: type 3, owner `stapsdt`, with the addresses of the
/// site, of the section base and of the semaphore, then provider, name and arguments. The layout is
/// that of `<sys/sdt.h>`: <https://sourceware.org/systemtap/wiki/UserSpaceProbeImplementation>.
#[doc(hidden)]
#[macro_export]
macro_rules! site {
    ($function:literal, $name:literal, $arguments:literal, $semaphore:path) => {
        core::arch::global_asm!(
            concat!(
                ".pushsection .text.readhook_sites, \"ax\", @progbits\n",
                ".balign 32\n", // the optimised probe must not cross a page
                ".globl ", $function, "\n",
                ".hidden ", $function, "\n",
                ".type ", $function, ", @function\n",
                $function, ":\n",
                ".cfi_startproc\n",
                $crate::site_body!(), "\n",
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

/// Emits the sites of a library, their semaphores, and functions that fire them: `sites!(true)`; `false` leaves
/// nobody watch.
#[macro_export]
macro_rules! sites {
    ($has_sites:expr) => {
        use $crate::connection::Peer;
        use $crate::site::{CallWord, Semaphore};

        /// Semaphore of `readhook:read_done`.
        #[unsafe(link_section = ".probes")]
        pub static READ_DONE: Semaphore<{ $has_sites }> = Semaphore::new();
        /// Semaphore of `readhook:accepted`.
        #[unsafe(link_section = ".probes")]
        pub static ACCEPTED: Semaphore<{ $has_sites }> = Semaphore::new();
        /// Semaphore of `readhook:closed`.
        #[unsafe(link_section = ".probes")]
        pub static CLOSED: Semaphore<{ $has_sites }> = Semaphore::new();

        $crate::site_notes!(READ_DONE, ACCEPTED, CLOSED);

        unsafe extern "C" {
            fn readhook_site_read_done(
                call: CallWord,
                returned: isize,
                enter_ns: u64,
                inner_exit_ns: u64,
                exit_ns: u64,
                connection: u64,
            );
            fn readhook_site_accepted(
                fd: i32,
                connection: u64,
                family: u32,
                port: u32,
                accepted_ns: u64,
            );
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
                readhook_site_read_done(
                    call,
                    returned,
                    enter_ns,
                    inner_exit_ns,
                    exit_ns,
                    connection,
                );
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
    };
}

// The arguments name registers, so the notes differ by architecture. `-4` is a signed int, `8` an
// unsigned 64-bit word. `read_done` has fd, returned, enter_ns, inner_exit_ns, exit_ns, connection and the call word;
// `accepted` fd, connection, peer family, peer port and accepted_ns; `closed` fd and connection.

/// Emits the sites, with these semaphores.
#[cfg(target_arch = "x86_64")]
#[doc(hidden)]
#[macro_export]
macro_rules! site_notes {
    ($read_done:path, $accepted:path, $closed:path) => {
        $crate::site!(
            "readhook_site_read_done",
            "read_done",
            "-4@%edi -8@%rsi 8@%rdx 8@%rcx 8@%r8 8@%r9 8@%rdi",
            $read_done
        );
        $crate::site!(
            "readhook_site_accepted",
            "accepted",
            "-4@%edi 8@%rsi 4@%edx 4@%ecx 8@%r8",
            $accepted
        );
        $crate::site!("readhook_site_closed", "closed", "-4@%edi 8@%rsi", $closed);
    };
}
/// Emits the sites, with these semaphores.
#[cfg(target_arch = "aarch64")]
#[doc(hidden)]
#[macro_export]
macro_rules! site_notes {
    ($read_done:path, $accepted:path, $closed:path) => {
        $crate::site!(
            "readhook_site_read_done",
            "read_done",
            "-4@x0 -8@x1 8@x2 8@x3 8@x4 8@x5 8@x0",
            $read_done
        );
        $crate::site!(
            "readhook_site_accepted",
            "accepted",
            "-4@x0 8@x1 4@x2 4@x3 8@x4",
            $accepted
        );
        $crate::site!("readhook_site_closed", "closed", "-4@x0 8@x1", $closed);
    };
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
}

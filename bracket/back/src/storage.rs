//! The frame of each thread: see [`Frame`].
//!
//! It is static thread-local storage of the model `initial-exec`, which is there before any of our functions can be called, in
//! each thread and signal handler. Rust has no such storage without its standard library, so it is made in assembly.
#![allow(
    unsafe_code,
    reason = "thread-local storage can only be made and reached in assembly here"
)]

use core::arch::{asm, global_asm};

use preload::frame::Frame;

global_asm!(
    ".pushsection .tdata, \"awT\", %progbits",
    ".balign 8",
    ".globl hookprobe_frame",
    ".hidden hookprobe_frame",
    ".type hookprobe_frame, %object",
    "hookprobe_frame: .4byte {no_call}",
    ".zero {size} - 4",
    ".size hookprobe_frame, {size}",
    ".popsection",
    no_call = const Frame::NO_CALL,
    size = const size_of::<Frame>(),
);

/// Whether front has a call of this descriptor under way in the calling thread: as [`Frame::is_of`], in fewer
/// instructions.
#[inline]
pub fn is_under_way(fd: i32) -> bool {
    #[cfg(target_arch = "x86_64")]
    {
        let under_way: i32;
        // SAFETY: the storage is as far from the thread's pointer as the loader has written into the table of offsets, and
        // the descriptor is its first word.
        unsafe {
            asm!(
                "mov {0:r}, qword ptr [rip + hookprobe_frame@GOTTPOFF]",
                "mov {0:e}, dword ptr fs:[{0:r}]",
                out(reg) under_way,
                options(pure, readonly, nostack, preserves_flags),
            );
        }
        under_way == fd
    }
    #[cfg(target_arch = "aarch64")]
    frame().is_of(fd)
}

/// The frame of the calling thread.
#[inline]
pub fn frame() -> &'static Frame {
    let frame: *const Frame;
    #[cfg(target_arch = "x86_64")]
    // SAFETY: the first word of the thread's control block is its own address; the storage is as far from it as the loader
    // has written into the table of offsets.
    unsafe {
        asm!(
            "mov {0}, qword ptr fs:[0]",
            "add {0}, qword ptr [rip + hookprobe_frame@GOTTPOFF]",
            out(reg) frame,
            options(pure, readonly, nostack),
        );
    }
    #[cfg(target_arch = "aarch64")]
    // SAFETY: as above, with the thread's pointer in a register.
    unsafe {
        asm!(
            "mrs {0}, tpidr_el0",
            "adrp {1}, :gottprel:hookprobe_frame",
            "ldr {1}, [{1}, :gottprel_lo12:hookprobe_frame]",
            "add {0}, {0}, {1}",
            out(reg) frame,
            out(reg) _,
            options(pure, readonly, nostack),
        );
    }
    // SAFETY: what is written above is a valid frame; the storage is there as long as the thread, which alone gets at it, and nobody
    // keeps the reference longer than a call.
    unsafe { &*frame }
}

#[cfg(test)]
mod tests {
    use preload::frame::Inner;

    use super::*;

    #[test]
    fn each_thread_has_a_frame_of_its_own() {
        let before = frame().replace(Inner::new(7, false, 0));
        assert_eq!(before, Inner::new(Frame::NO_CALL, false, 0));
        assert!(is_under_way(7) && !is_under_way(6));
        std::thread::spawn(|| assert!(!is_under_way(7)))
            .join()
            .unwrap();
        frame().replace(before);
        assert!(!is_under_way(7));
    }
}

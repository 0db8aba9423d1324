//! What each preloaded library must have of its own.

/// Emits it: a panic that stops the program, and the end of `core`'s last reference to Rust's unwinder.
///
/// A panic is a bug in the library, and there is nothing safe to unwind to. `core` is compiled for unwinding programs, and
/// its frame tables name `rust_eh_personality`. A preloaded library never unwinds, so the symbol only has to exist; hidden, it
/// stays out of the way of the host program's own.
#[macro_export]
macro_rules! library {
    () => {
        #[cfg(all(panic = "unwind", not(test)))]
        compile_error!(
            "it must not unwind: `cargo xtask build` builds it, or cargo with `--profile hook`"
        );

        #[cfg(not(test))]
        #[panic_handler]
        fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
            $crate::next::abort()
        }

        #[cfg(not(test))]
        mod personality {
            #![allow(
                unsafe_code,
                reason = "a symbol of this name can only be made in assembly"
            )]
            core::arch::global_asm!(
                ".globl rust_eh_personality",
                ".hidden rust_eh_personality",
                ".type rust_eh_personality, %function",
                "rust_eh_personality:",
                $crate::trap!(),
                ".size rust_eh_personality, . - rust_eh_personality",
            );
        }
    };
}

/// The instruction that is none.
#[cfg(target_arch = "x86_64")]
#[doc(hidden)]
#[macro_export]
macro_rules! trap {
    () => {
        "ud2"
    };
}
/// The instruction that is none.
#[cfg(target_arch = "aarch64")]
#[doc(hidden)]
#[macro_export]
macro_rules! trap {
    () => {
        "brk #1"
    };
}

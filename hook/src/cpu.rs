//! What the processor can do. `std` would tell, but is not in this library.
#![allow(unsafe_code, reason = "the register that tells is read in assembly")]

use core::arch::asm;
use core::arch::x86_64::{__cpuid, __cpuid_count};
use core::sync::atomic::{AtomicBool, Ordering};

/// Whether calls use AVX2.
static IN_USE: AtomicBool = AtomicBool::new(false);

/// Proof that the processor has AVX2, BMI1 and POPCNT, and that the kernel keeps its registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Avx2(());

impl Avx2 {
    /// Asks the processor, as Intel's manual says (Software Developer's Manual, volume 1, 14.7.1).
    pub fn detect() -> Option<Self> {
        const OSXSAVE_AVX_POPCNT: u32 = 1 << 27 | 1 << 28 | 1 << 23;
        const AVX2_BMI1: u32 = 1 << 5 | 1 << 3;
        const XMM_AND_YMM: u32 = 1 << 1 | 1 << 2;
        if __cpuid(0).eax < 7 || __cpuid(1).ecx & OSXSAVE_AVX_POPCNT != OSXSAVE_AVX_POPCNT {
            return None;
        }
        let kept: u32;
        // SAFETY: OSXSAVE says that there is this instruction; it reads register 0 and changes no other
        // than those named.
        unsafe {
            asm!("xgetbv", in("ecx") 0, out("eax") kept, out("edx") _, options(nomem, nostack));
        }
        let has_all =
            kept & XMM_AND_YMM == XMM_AND_YMM && __cpuid_count(7, 0).ebx & AVX2_BMI1 == AVX2_BMI1;
        has_all.then_some(Self(()))
    }

    /// Has all later calls use it.
    #[allow(clippy::unused_self, reason = "only who has the proof may")]
    pub fn put_in_use(self) {
        IN_USE.store(true, Ordering::Relaxed);
    }

    /// What [`Avx2::put_in_use`] has found: one load.
    #[inline]
    pub fn in_use() -> Option<Self> {
        IN_USE.load(Ordering::Relaxed).then_some(Self(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn detects_what_the_standard_library_detects() {
        assert_eq!(
            Avx2::detect().is_some(),
            std::arch::is_x86_feature_detected!("avx2")
                && std::arch::is_x86_feature_detected!("bmi1")
                && std::arch::is_x86_feature_detected!("popcnt")
        );
    }
}

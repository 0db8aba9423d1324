//! Tables that programs reach by address: a look into one is an addition and a load.
//!
//! A look into a map, even where the kernel inlines it, goes by a key in memory and two comparisons, and what
//! comes of it has to be checked once more. What stands in a section of the object needs none of this:
//! the kernel makes a map of one value of it (`BPF_PSEUDO_MAP_VALUE`), and the agent finds it by the
//! section's name.
#![allow(
    unsafe_code,
    reason = "the tables are shared with other CPUs and with the agent, as maps are"
)]

use core::cell::UnsafeCell;
use core::mem::MaybeUninit;

use abi::Plain;

/// A table of `N` slots, a power of two, all zero at first. It must be a `static` of a section `.bss.NAME`.
#[repr(transparent)]
pub struct Slots<T, const N: usize>(UnsafeCell<MaybeUninit<[T; N]>>);

// SAFETY: all that can be had of a table by safe means is an address. Slots are plain numbers; who may write to which is
// said where the tables are.
unsafe impl<T: Plain, const N: usize> Sync for Slots<T, N> {}

impl<T: Plain, const N: usize> Slots<T, N> {
    const MASK: usize = {
        assert!(N.is_power_of_two(), "slots are found by a mask");
        N - 1
    };

    pub const fn new() -> Self {
        Self(UnsafeCell::new(MaybeUninit::zeroed()))
    }

    /// The address of the slot of a number: that of its low bits.
    #[inline(always)]
    pub fn slot(&self, number: u32) -> *mut T {
        let first: *mut T = self.0.get().cast();
        first.wrapping_add(number as usize & Self::MASK)
    }
}

/// What stands in a field that other programs or the agent may write to meanwhile. Volatile: no more than the field is
/// loaded, and each time anew.
///
/// # Safety
/// The field must be in a table or in an entry of a map.
#[inline(always)]
pub unsafe fn peek<T: Plain>(field: *const T) -> T {
    // SAFETY: the caller says so; the kernel's verifier has the last word.
    unsafe { field.read_volatile() }
}

//! The keyword scanner: which word of a list, the first in list order, occurs in these bytes?
//!
//! Sieves, each finer and dearer than the one before:
//!
//! 1. Where the processor has AVX2, a *filter* of nibbles tests 32 positions at a time: the words lie in 16
//!    groups, and a position passes if its first three bytes could belong to one group ([`groups`]). About one
//!    position in seventeen of an HTTP request does. The idea is Teddy's, of Intel's Hyperscan (Wang et al., NSDI 2019).
//! 2. A *bitmap* over a hash of three bytes: does some word begin so? One position in thirty-four.
//! 3. The words with that beginning are compared, eight bytes at once.
//!
//! Without AVX2 the bitmap is asked for every position, which on requests beats a table-driven automaton:
//! that of the 200 words does not fit into the L1 cache.
//!
//! Everything is prepared ahead ([`list`]), for the default list at build time, so scanning allocates
//! nothing. No byte is looked at beyond the haystack's end: the last window overlaps with the one
//! before.

#[cfg(target_arch = "x86_64")]
mod avx2;
mod groups;
mod list;
mod search;
#[cfg(test)]
mod tests;

pub use list::{MAX_WORD, Prepared, Problem};
pub use search::Scanner;

/// How positions are asked whether a word may start there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filter {
    /// One by one: any processor.
    Portable,
    /// Thirty-two at a time.
    #[cfg(target_arch = "x86_64")]
    Avx2(crate::cpu::Avx2),
}

impl Filter {
    /// The fastest that this processor has.
    pub fn fastest() -> Self {
        #[cfg(target_arch = "x86_64")]
        if let Some(avx2) = crate::cpu::Avx2::detect() {
            return Self::Avx2(avx2);
        }
        Self::Portable
    }

    /// Has all later calls of [`Filter::in_use`] return this one. Until then it is the portable one.
    pub fn put_in_use(self) {
        match self {
            Self::Portable => {}
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(avx2) => avx2.put_in_use(),
        }
    }

    /// The one in use.
    #[inline]
    pub fn in_use() -> Self {
        #[cfg(target_arch = "x86_64")]
        if let Some(avx2) = crate::cpu::Avx2::in_use() {
            return Self::Avx2(avx2);
        }
        Self::Portable
    }
}

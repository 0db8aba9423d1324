//! What may cross between the kernel and the agent as bytes.

use zerocopy::{FromBytes, IntoBytes};

/// Any bytes are a valid value, and none of a value's bytes is padding: the derives of zerocopy hold both.
pub trait Plain: FromBytes + IntoBytes + Copy + 'static {}

impl<T: FromBytes + IntoBytes + Copy + 'static> Plain for T {}

/// The value that `bytes` begin with, and the bytes behind it; `None` when they are too few.
pub fn read<T: Plain>(bytes: &[u8]) -> Option<(T, &[u8])> {
    T::read_from_prefix(bytes).ok()
}

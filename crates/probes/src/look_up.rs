//! Values of arrays, read to where they are wanted. aya hands them over on the stack, zeroed before and copied twice: a
//! lane is 150 KB, and a scrape reads eight or more of each arm; the threads are 4 MB, half of what a stack has.
#![allow(unsafe_code, reason = "the kernel writes to where a pointer points")]

use std::os::fd::{AsFd as _, AsRawFd as _};

use anyhow::{Context as _, bail};
use aya::Pod;
use aya::maps::{Array, Map, MapData};
use aya_obj::generated::bpf_cmd;

use crate::bpf::{bpf, empty_attr};

/// Reads the value at an index of an array.
pub fn look_up<V: Pod>(map: &Map, index: u32, value: &mut V) -> anyhow::Result<()> {
    // An error unless values are as large as `V`.
    let _: Array<&MapData, V> = map.try_into()?;
    let Map::Array(map) = map else {
        bail!("is no array");
    };
    let mut attr = empty_attr();
    // SAFETY: all-zero bytes are valid for each member of the union.
    let element = unsafe { &mut attr.__bindgen_anon_2 };
    element.map_fd = map.fd().as_fd().as_raw_fd().cast_unsigned();
    element.key = std::ptr::from_ref(&index).expose_provenance() as u64;
    // The kernel writes a whole `V` there, and any bytes are one: it is `Pod`.
    element.__bindgen_anon_1.value = std::ptr::from_mut(value).expose_provenance() as u64;
    bpf(bpf_cmd::BPF_MAP_LOOKUP_ELEM, &mut attr)
        .with_context(|| format!("cannot read value {index}"))?;
    Ok(())
}

/// Reads the value at an index of an array into memory of its own.
pub fn look_up_boxed<V: Pod>(map: &Map, index: u32) -> anyhow::Result<Box<V>> {
    // SAFETY: all-zero bytes are a valid `V`, as any are: it is `Pod`.
    let mut value = unsafe { Box::<V>::new_zeroed().assume_init() };
    look_up(map, index, &mut *value)?;
    Ok(value)
}

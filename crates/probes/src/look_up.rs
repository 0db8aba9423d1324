//! Values of arrays, read to where they are wanted. aya hands them over on the stack, zeroed before and copied twice: a
//! lane is 150 KB, and a scrape reads eight or more of each arm; the threads are 4 MB, half of what a stack has.
#![allow(unsafe_code, reason = "the kernel writes to where a pointer points")]

use std::os::fd::{AsFd as _, AsRawFd as _};

use abi::Plain;
use anyhow::{Context as _, anyhow, bail};
use aya::Pod;
use aya::maps::{Array, Map, MapData};
use aya_obj::generated::bpf_cmd;

use crate::bpf::{address, bpf, empty_attr};

/// Reads the value at an index of an array.
pub fn look_up<V: Plain + Pod>(map: &Map, index: u32, value: &mut V) -> anyhow::Result<()> {
    // An error unless values are as large as `V`.
    let _: Array<&MapData, V> = map.try_into()?;
    let Map::Array(map) = map else {
        bail!("is no array");
    };
    let mut attr = empty_attr();
    // SAFETY: all-zero bytes are valid for each member of the union.
    let element = unsafe { &mut attr.__bindgen_anon_2 };
    element.map_fd = map.fd().as_fd().as_raw_fd().cast_unsigned();
    element.key = address(&raw const index);
    element.__bindgen_anon_1.value = address(std::ptr::from_mut(value));
    // SAFETY: the kernel reads an index and writes a whole `V`, and any bytes are one: it is `Plain`.
    unsafe { bpf(bpf_cmd::BPF_MAP_LOOKUP_ELEM, &mut attr) }
        .with_context(|| format!("cannot read value {index}"))?;
    Ok(())
}

/// Reads the value at an index of an array into memory of its own.
pub fn look_up_boxed<V: Plain + Pod>(map: &Map, index: u32) -> anyhow::Result<Box<V>> {
    let value = V::new_box_zeroed();
    let mut value = value.map_err(|_| anyhow!("no memory for {} bytes", size_of::<V>()))?;
    look_up(map, index, &mut *value)?;
    Ok(value)
}

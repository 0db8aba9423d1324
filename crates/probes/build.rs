//! Builds the eBPF programs for the eBPF target and leaves the object where `loader` takes
//! it in.

mod ebpf;

use std::path::Path;

fn main() -> anyhow::Result<()> {
    let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."));
    let sources = ["crates/abi/src", "probe-ebpf/src"];
    ebpf::build(root, "probe-ebpf", "probe-ebpf", &sources)
}

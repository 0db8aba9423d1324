//! Builds the eBPF programs of the benches for the eBPF target and leaves the object where `kernel` takes it in.

#[path = "../crates/probes/ebpf.rs"]
mod ebpf;

use std::path::Path;

fn main() -> anyhow::Result<()> {
    let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    let sources = ["crates/abi/src", "probe-ebpf/src", "bench/ebpf/src"];
    ebpf::build(root, "bench-ebpf", "bench/ebpf", &sources)
}

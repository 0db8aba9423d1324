//! The lanes of threads, from the agent's side.

use anyhow::Context as _;
use aya::Ebpf;
use aya::maps::Array;
use probe_common::Lane;
use probe_common::lane::lane_of;

use crate::probes::memory::HistogramMemory;

/// Passes each lane of an arm on, as it is now.
pub fn each_of_arm(ebpf: &Ebpf, arm: u32, mut take: impl FnMut(&Lane)) -> anyhow::Result<()> {
    let lanes: Array<_, Lane> = ebpf.map("LANES").context("no map LANES")?.try_into()?;
    let of_arm = HistogramMemory::here(1).lanes_per_arm();
    for number in 0..of_arm {
        take(&lanes.get(&lane_of(arm, number, of_arm), 0)?);
    }
    Ok(())
}

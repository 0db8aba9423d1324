//! The lanes of threads, from the agent's side.
//!
//! A lane's records that were gathered, and not yet written, count as written: they are, or the agent takes
//! them from there.

use abi::Lane;
use abi::lane::lane_of;
use anyhow::Context as _;
use aya::Ebpf;
use aya::maps::Array;

use crate::look_up::look_up;
use crate::memory::HistogramMemory;

/// Passes each lane of an arm on, as it is now.
pub fn each_of_arm(ebpf: &Ebpf, arm: u32, mut take: impl FnMut(&Lane)) -> anyhow::Result<()> {
    let lanes = ebpf.map("LANES").context("no map LANES")?;
    let of_arm = HistogramMemory::here(1).lanes_per_arm();
    let mut lane = Box::new(Lane::EMPTY);
    for number in 0..of_arm {
        look_up(lanes, lane_of(arm, number, of_arm), &mut *lane)?;
        lane.settle_batch(true);
        take(&lane);
    }
    Ok(())
}

/// Takes out the records that threads have gathered. To be called when no program runs.
pub fn take_batches(ebpf: &mut Ebpf) -> anyhow::Result<Vec<Vec<u8>>> {
    let lanes = ebpf.map_mut("LANES").context("no map LANES")?;
    let mut lanes: Array<_, Lane> = lanes.try_into()?;
    let mut batches = Vec::new();
    for number in 0..lanes.len() {
        let mut lane = lanes.get(&number, 0)?;
        if lane.batch.used > 0 {
            let used = usize::try_from(lane.batch.used)?;
            let words = lane.batch.words.get(..used);
            let words = words.context("a lane holds too much")?;
            batches.push(words.iter().flat_map(|word| word.to_ne_bytes()).collect());
            lane.settle_batch(true);
            lanes.set(number, lane, 0)?;
        }
    }
    Ok(batches)
}

//! The reader's side of the ring buffer: its size, when the kernel wakes the reader, taking out.
#![allow(
    unsafe_code,
    reason = "tokio has to be promised that a descriptor stays open while it waits for it"
)]

use std::os::fd::{AsRawFd, RawFd};

use anyhow::{Context as _, bail};
use aya::maps::{MapData, RingBuf};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Bytes that the kernel puts before each record.
const HEADER_BYTES: usize = 8;
/// A record of middle size with its header.
const RECORD_BYTES: u64 = 80;
/// The most that the kernel allows for one ring.
const MAX_BYTES: u32 = 1 << 30;

/// Checks a size that somebody asks for.
pub fn check_ring_bytes(ring_bytes: u32) -> anyhow::Result<()> {
    let page = u32::try_from(rustix::param::page_size()).unwrap_or(u32::MAX);
    if !ring_bytes.is_power_of_two() || !(page..=MAX_BYTES).contains(&ring_bytes) {
        bail!(
            "--ring-bytes {ring_bytes}: must be a power of two, from {page} (one page) to {MAX_BYTES}"
        );
    }
    Ok(())
}

/// When the kernel wakes the reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WakeUps {
    /// Unread bytes from which on the reader is woken: a quarter of the ring.
    pub at_bytes: u64,
    /// Records of a lane, or of an arm and CPU, from one look at the unread bytes to the next, less one.
    pub look_mask: u64,
}

impl WakeUps {
    /// For a ring that this many CPUs and lanes write to. What they all write between two looks is a sixteenth
    /// of the ring, unless that would be a look for nearly every record.
    pub fn of(ring_bytes: u32, writers: usize) -> Self {
        let ring_bytes = u64::from(ring_bytes);
        let records = ring_bytes / 16 / RECORD_BYTES / writers.max(1) as u64;
        let look_every = records.clamp(8, 4_096).next_power_of_two();
        Self {
            at_bytes: ring_bytes / 4,
            look_mask: look_every - 1,
        }
    }
}

/// The ring buffer, open for reading.
pub struct Ring {
    ring: AsyncFd<Readable>,
    woken: u64,
}

/// [`RingBuf`] has no `Debug`, which the rest of the agent's types have.
struct Readable(RingBuf<MapData>);

impl AsRawFd for Readable {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

impl std::fmt::Debug for Ring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ring")
            .field("woken", &self.woken)
            .finish_non_exhaustive()
    }
}

impl Ring {
    /// Opens it.
    pub fn open(map: aya::maps::Map) -> anyhow::Result<Self> {
        let ring = RingBuf::try_from(map).context("RECORDS is no ring buffer")?;
        // SAFETY: the map's descriptor is open for as long as the `RingBuf` lives, which the `AsyncFd`
        // owns; `as_raw_fd` always returns that one.
        let ring = unsafe { AsyncFd::register_with_interest(Readable(ring), Interest::READABLE) };
        Ok(Self {
            ring: ring.context("cannot wait for the ring buffer")?,
            woken: 0,
        })
    }

    /// Waits until the kernel wakes the reader. Cancel-safe.
    pub async fn readable(&mut self) -> anyhow::Result<()> {
        self.ring.readable().await?.clear_ready();
        self.woken += 1;
        Ok(())
    }

    /// How often the kernel has woken the reader.
    pub fn woken(&self) -> u64 {
        self.woken
    }

    /// Takes records out until the ring is empty, or `at_most` bytes were taken. Says whether it is
    /// empty.
    pub fn take(
        &mut self,
        at_most: usize,
        mut take: impl FnMut(&[u8]) -> anyhow::Result<()>,
    ) -> anyhow::Result<bool> {
        let mut taken = 0;
        while taken < at_most {
            let Some(bytes) = self.ring.get_mut().0.next() else {
                return Ok(true);
            };
            taken += bytes.len() + HEADER_BYTES;
            take(&bytes)?;
        }
        Ok(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_powers_of_two_and_whole_pages() {
        for bytes in [1 << 16, 1 << 24, 1 << 30] {
            assert!(check_ring_bytes(bytes).is_ok(), "{bytes}");
        }
        for bytes in [0, 1, 2_048, 65_535, 100_000, 1 << 31] {
            let error = check_ring_bytes(bytes).unwrap_err().to_string();
            assert!(error.contains(&format!("--ring-bytes {bytes}")), "{error}");
        }
    }

    #[test]
    fn a_ring_never_fills_between_two_looks_of_all_writers() {
        for (bytes, writers) in [(1 << 16, 18), (1 << 24, 18), (1 << 24, 352), (1 << 30, 160)] {
            let WakeUps {
                at_bytes,
                look_mask,
            } = WakeUps::of(bytes, writers);
            assert!((look_mask + 1).is_power_of_two(), "a mask");
            let between_looks = (look_mask + 1) * 104 * writers as u64;
            assert!(
                at_bytes + between_looks < u64::from(bytes),
                "{bytes} bytes, {writers} writers: {between_looks} bytes between looks"
            );
        }
    }
}

//! What the histograms take of the kernel's memory.

use abi::lane::lanes_per_arm;
use abi::layout::Spans;
use abi::{Lane, SpanKind};

/// Kernel memory of the histograms. It is taken when they are created, for each CPU that the machine can
/// have, and does not grow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HistogramMemory {
    /// Arms.
    pub arms: u32,
    /// CPUs that the machine can have, offline ones too: `/sys/devices/system/cpu/possible`.
    pub cpus: usize,
}

impl HistogramMemory {
    /// Of this many arms on this machine.
    pub fn here(arms: u32) -> Self {
        Self {
            arms,
            cpus: aya::util::nr_cpus().unwrap_or(1),
        }
    }

    /// Lanes of an arm: those of its first threads.
    pub fn lanes_per_arm(self) -> u32 {
        lanes_per_arm(self.cpus)
    }

    /// Lanes of all arms.
    pub fn lanes(self) -> u32 {
        self.arms * self.lanes_per_arm()
    }

    /// Bytes: arms × kinds of span × CPUs × size of a histogram, and the lanes.
    pub fn bytes(self) -> u64 {
        let histograms = u64::from(self.arms) * u64::from(SpanKind::COUNT) * self.cpus as u64;
        histograms * size_of::<Spans>() as u64 + u64::from(self.lanes()) * size_of::<Lane>() as u64
    }
}

/// Bytes in a message.
pub fn mebibytes(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn histograms_of_a_large_machine() {
        // Three arms, six kinds, 64 CPUs, 3,840 buckets and a sum of 8 bytes each; and 32 lanes an arm,
        // of five kinds, the counters, and 180 words for records: 176 of them, how many there are, and of how many
        // spans of three sorts.
        let memory = HistogramMemory { arms: 3, cpus: 64 };
        let counters = size_of::<abi::Counters>() as u64;
        let lane = 5 * 3_841 * 8 + counters + 180 * 8;
        assert_eq!(memory.bytes(), 3 * 6 * 64 * 3_841 * 8 + 3 * 32 * lane);
        assert_eq!(mebibytes(memory.bytes()), "48.0 MiB");
    }
}

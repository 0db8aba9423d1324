//! Each response time beside the next: counts on a grid, as millions of points would be one blot.

use std::collections::HashMap;

/// Cells to a doubling of the response time.
const CELLS_PER_DOUBLING: f64 = 24.0;

/// How often a response time of one cell was followed by one of another.
#[derive(Clone, Debug, Default)]
pub struct LagGrid {
    counts: HashMap<(u16, u16), u64>,
}

impl LagGrid {
    /// Adds all pairs of neighbours.
    pub fn add(&mut self, values_ns: &[u64]) {
        for pair in values_ns.windows(2) {
            *self
                .counts
                .entry((cell(pair[0]), cell(pair[1])))
                .or_default() += 1;
        }
    }

    /// Cells with their counts.
    pub fn cells(&self) -> impl Iterator<Item = ((u16, u16), u64)> {
        self.counts.iter().map(|(cell, count)| (*cell, *count))
    }

    /// Pairs.
    pub fn pairs(&self) -> u64 {
        self.counts.values().sum()
    }
}

/// The cell that a value is in.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "2^64 ns is in cell 1536, 1 ns in cell 0"
)]
pub fn cell(value_ns: u64) -> u16 {
    ((value_ns.max(1) as f64).log2() * CELLS_PER_DOUBLING) as u16
}

/// The least value of a cell, in nanoseconds.
pub fn lower_end(cell: u16) -> f64 {
    (f64::from(cell) / CELLS_PER_DOUBLING).exp2()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_are_counted_in_their_cells() {
        let mut grid = LagGrid::default();
        grid.add(&[1_000, 1_000, 1_000, 64_000]);
        grid.add(&[5]); // has no neighbour
        assert_eq!(grid.pairs(), 3);
        let (fast, slow) = (cell(1_000), cell(64_000));
        let mut cells: Vec<_> = grid.cells().collect();
        cells.sort_unstable();
        assert_eq!(cells, [((fast, fast), 2), ((fast, slow), 1)]);
    }

    #[test]
    fn a_value_lies_within_its_cell() {
        for value in [1, 2, 999, 21_127, 10_000_000_000, u64::MAX] {
            let cell = cell(value);
            let value = value as f64;
            assert!(lower_end(cell) <= value * 1.000_001, "{value}");
            assert!(value <= lower_end(cell + 1) * 1.000_001, "{value}");
        }
    }
}

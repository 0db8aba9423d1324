//! How often the bootstrap's intervals hold.

/// A row.
struct Simulated {
    quantile: f64,
    blocks: usize,
    coverage: f64,
}

const SIMULATED: &[Simulated] = &[];

/// How often the 95 % interval of a quantile's shift held in simulation with at most `blocks` blocks.
#[must_use]
pub fn simulated_coverage(quantile: f64, blocks: usize, values_per_block: usize) -> Option<f64> {
    let _ = values_per_block;
    SIMULATED
        .iter()
        .find(|row| row.quantile >= quantile && row.blocks <= blocks)
        .map(|row| row.coverage)
}

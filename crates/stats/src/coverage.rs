//! How often the bootstrap's 95 % intervals of quantile shifts hold, by simulation.

/// One simulated case.
#[derive(Clone, Copy, Debug)]
pub struct Simulated {
    /// The quantile.
    pub quantile: f64,
    /// Blocks per arm.
    pub blocks: usize,
    /// Values per block.
    pub values_per_block: usize,
    /// Share of 1,000 runs in which the interval held the true shift.
    pub coverage: f64,
}

/// What `cargo xtask prove statistics` found, and finds again: log-normal values with AR(1) 0.5, arms
/// measured apart and the treatment with a longer tail, so that errors of both do not cancel.
#[rustfmt::skip]
pub const SIMULATED: &[Simulated] = &[
    row(0.5, 5, 100, 0.952), row(0.9, 5, 100, 0.962), row(0.99, 5, 100, 0.923), row(0.999, 5, 100, 0.701),
    row(0.5, 10, 100, 0.966), row(0.9, 10, 100, 0.954), row(0.99, 10, 100, 0.951), row(0.999, 10, 100, 0.822),
    row(0.5, 20, 100, 0.944), row(0.9, 20, 100, 0.955), row(0.99, 20, 100, 0.958), row(0.999, 20, 100, 0.925),
    row(0.5, 40, 100, 0.955), row(0.9, 40, 100, 0.948), row(0.99, 40, 100, 0.951), row(0.999, 40, 100, 0.94),
    row(0.5, 5, 1000, 0.956), row(0.9, 5, 1000, 0.946), row(0.99, 5, 1000, 0.943), row(0.999, 5, 1000, 0.896),
    row(0.5, 10, 1000, 0.964), row(0.9, 10, 1000, 0.963), row(0.99, 10, 1000, 0.967), row(0.999, 10, 1000, 0.94),
    row(0.5, 20, 1000, 0.945), row(0.9, 20, 1000, 0.957), row(0.99, 20, 1000, 0.957), row(0.999, 20, 1000, 0.954),
    row(0.5, 40, 1000, 0.947), row(0.9, 40, 1000, 0.956), row(0.99, 40, 1000, 0.95), row(0.999, 40, 1000, 0.951),
];

const fn row(quantile: f64, blocks: usize, values_per_block: usize, coverage: f64) -> Simulated {
    Simulated {
        quantile,
        blocks,
        values_per_block,
        coverage,
    }
}

/// The coverage of the largest simulated case with this quantile and at most so many blocks and values.
/// `None` where none is so small: how often such intervals hold is not known.
pub fn simulated_coverage(quantile: f64, blocks: usize, values_per_block: usize) -> Option<f64> {
    let smaller = SIMULATED.iter().filter(|case| {
        case.quantile.to_bits() == quantile.to_bits()
            && case.blocks <= blocks
            && case.values_per_block <= values_per_block
    });
    let largest = smaller.max_by_key(|case| (case.values_per_block, case.blocks));
    largest.map(|case| case.coverage)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_case_taken_is_never_larger_than_the_run() {
        assert_eq!(simulated_coverage(0.5, 4, 1000), None);
        assert_eq!(simulated_coverage(0.5, 40, 99), None);
        assert_eq!(simulated_coverage(0.75, 40, 1000), None);
        let case = |blocks, values| simulated_coverage(0.999, blocks, values).unwrap();
        assert!(case(10, 100) < 0.9 && case(10, 999) < 0.9);
        assert!(case(10, 1000) > 0.9);
        assert_eq!(case(25, 5000).to_bits(), case(20, 1000).to_bits());
    }
}

//! Histograms, and quantiles out of them.

/// How many values lie in [low, high).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bin {
    pub low: f64,
    pub high: f64,
    pub count: f64,
}

/// The value that a share of all values lies below. Within a bin values are taken to be spread evenly, so
/// that two histograms of unlike bins can be compared. `None` of nothing.
pub fn quantile(bins: &[Bin], share: f64) -> Option<f64> {
    let total: f64 = bins.iter().map(|bin| bin.count).sum();
    let wanted = share * total;
    let mut below = 0.0;
    for bin in bins.iter().filter(|bin| bin.count > 0.0) {
        if below + bin.count >= wanted {
            return Some(bin.low + (bin.high - bin.low) * (wanted - below) / bin.count);
        }
        below += bin.count;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_lies_within_its_bin() {
        let bin = |low, high, count| Bin { low, high, count };
        let bins = [
            bin(8.0, 9.0, 20.0),
            bin(9.0, 10.0, 60.0),
            bin(20.0, 30.0, 20.0),
        ];
        // 30 of the 60 in the second bin are below the median.
        assert_eq!(quantile(&bins, 0.5), Some(9.5));
        assert_eq!(quantile(&bins, 0.2), Some(9.0));
        assert_eq!(quantile(&bins, 0.9), Some(25.0));
        assert_eq!(quantile(&[], 0.5), None);
    }
}

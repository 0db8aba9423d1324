//! The offset between two clocks, bounded from both sides by what cannot be otherwise: no read ends
//! before its request was sent, and no response is complete before the server began to write it.

use runlog::analysis::{ClockRelation, Clocks};

/// Bounds of an offset, the server's clock minus the client's, in ns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// The offset is at least that.
    pub low_ns: i64,
    /// And at most that.
    pub high_ns: i64,
}

impl Bounds {
    /// What is not known at all.
    pub const UNKNOWN: Self = Self {
        low_ns: i64::MIN,
        high_ns: i64::MAX,
    };

    /// What both allow. Empty (`low_ns` above `high_ns`) if they contradict each other.
    pub fn and(self, other: Self) -> Self {
        Self {
            low_ns: self.low_ns.max(other.low_ns),
            high_ns: self.high_ns.min(other.high_ns),
        }
    }

    /// The middle.
    pub fn middle_ns(self) -> i64 {
        self.low_ns.midpoint(self.high_ns)
    }

    /// The same offset, if `by_ns` of it had been taken off before.
    pub fn shifted(self, by_ns: i64) -> Self {
        Self {
            low_ns: self.low_ns.saturating_add(by_ns),
            high_ns: self.high_ns.saturating_add(by_ns),
        }
    }
}

/// An instant of the client on the server's clock.
pub fn on_server(instant_ns: u64, offset_ns: i64) -> u64 {
    instant_ns.saturating_add_signed(offset_ns)
}

/// The difference of two instants.
pub fn difference(later_ns: u64, earlier_ns: u64) -> i64 {
    later_ns.wrapping_sub(earlier_ns).cast_signed()
}

/// The offsets that the most bounds allow. A few wrong ones do not matter: they are outvoted.
///
/// Marzullo's algorithm, as in the Network Time Protocol (RFC 5905, section 11.2.1).
pub fn agreed(bounds: &[Bounds]) -> Option<Bounds> {
    // Where bounds meet end to end they agree: starts come first.
    let mut ends: Vec<(i64, i32)> = bounds
        .iter()
        .filter(|bounds| bounds.low_ns <= bounds.high_ns)
        .flat_map(|bounds| [(bounds.low_ns, -1), (bounds.high_ns, 1)])
        .collect();
    ends.sort_unstable();
    let mut open = 0;
    let mut most = 0;
    let mut best = None;
    for (index, (at_ns, kind)) in ends.iter().enumerate() {
        open -= kind;
        if open > most {
            most = open;
            // The next end, whichever it is, closes what these agree on.
            best = ends.get(index + 1).map(|(end_ns, _)| Bounds {
                low_ns: *at_ns,
                high_ns: *end_ns,
            });
        }
    }
    best
}

/// The offset over all parts of a run.
#[derive(Clone, Copy, Debug)]
pub struct Summary {
    relation: ClockRelation,
    /// What all parts allow.
    all: Bounds,
    /// What one part or another allows.
    any: Bounds,
}

impl Summary {
    /// Of nothing yet.
    pub fn new(relation: ClockRelation) -> Self {
        Self {
            relation,
            all: Bounds::UNKNOWN,
            any: Bounds {
                low_ns: i64::MAX,
                high_ns: i64::MIN,
            },
        }
    }

    /// Adds what a part of the run allows.
    pub fn add(&mut self, bounds: Bounds) {
        if bounds == Bounds::UNKNOWN {
            return;
        }
        self.all = self.all.and(bounds);
        self.any.low_ns = self.any.low_ns.min(bounds.low_ns);
        self.any.high_ns = self.any.high_ns.max(bounds.high_ns);
    }

    /// The result; `None` if nothing was added.
    pub fn finish(self) -> Option<Clocks> {
        if self.all == Bounds::UNKNOWN {
            return None;
        }
        let is_one = matches!(
            self.relation,
            ClockRelation::One | ClockRelation::AssumedOne
        );
        let drift_ns = self.all.low_ns.saturating_sub(self.all.high_ns).max(0);
        let bounds = if drift_ns > 0 { self.any } else { self.all };
        let offset_ns = if is_one { 0 } else { bounds.middle_ns() };
        let farthest = [bounds.low_ns, bounds.high_ns]
            .map(|end_ns| end_ns.saturating_sub(offset_ns).unsigned_abs());
        Some(Clocks {
            relation: self.relation,
            offset_ns: offset_ns as f64,
            bound_ns: farthest[0].max(farthest[1]) as f64,
            drift_ns: drift_ns as f64,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bounds(low_ns: i64, high_ns: i64) -> Bounds {
        Bounds { low_ns, high_ns }
    }

    #[test]
    fn the_most_bounds_win_and_a_wrong_one_is_outvoted() {
        // The example of Marzullo's thesis: 8 to 12, 11 to 13 and 14 to 15 agree on 11 to 12.
        let three = [bounds(8, 12), bounds(11, 13), bounds(14, 15)];
        assert_eq!(agreed(&three), Some(bounds(11, 12)));
        let touching = [bounds(0, 5), bounds(5, 9), bounds(100, 200)];
        assert_eq!(agreed(&touching), Some(bounds(5, 5)));
        let nested = [bounds(0, 100), bounds(40, 60), bounds(55, 90)];
        assert_eq!(agreed(&nested), Some(bounds(55, 60)));
        assert_eq!(agreed(&[bounds(3, 2)]), None);
        assert_eq!(agreed(&[]), None);
    }

    #[test]
    fn one_offset_that_fits_all_is_bounded_more_closely() {
        let mut summary = Summary::new(ClockRelation::Two);
        assert_eq!(summary.finish(), None);
        summary.add(bounds(-1_010, -990));
        summary.add(bounds(-1_002, -980));
        let clocks = summary.finish().unwrap();
        let found = [clocks.offset_ns, clocks.bound_ns, clocks.drift_ns];
        assert_eq!(
            found.map(f64::to_bits),
            [-996.0, 6.0, 0.0].map(f64::to_bits)
        );
    }

    #[test]
    fn clocks_that_drift_say_so() {
        let mut summary = Summary::new(ClockRelation::Two);
        summary.add(bounds(0, 10));
        summary.add(bounds(30, 40));
        let clocks = summary.finish().unwrap();
        let found = [clocks.offset_ns, clocks.bound_ns, clocks.drift_ns];
        assert_eq!(
            found.map(f64::to_bits),
            [20.0, 20.0, 20.0].map(f64::to_bits)
        );
    }

    #[test]
    fn one_clock_has_no_offset_and_says_what_would_go_unnoticed() {
        let mut summary = Summary::new(ClockRelation::One);
        summary.add(bounds(-9_000, 4_000));
        let clocks = summary.finish().unwrap();
        assert_eq!((clocks.offset_ns, clocks.bound_ns), (0.0, 9_000.0));
    }
}

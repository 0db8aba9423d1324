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
mod tests;

//! By how much the clock of an agent's machine is ahead of ours.

use runlog::clock::Clock;

use super::client::{AgentClient, Failure};
use crate::clock::{ServerClock, monotonic_ns};

/// It is read so often at a time, and the shortest round trip counts (Cristian, 1989).
const READINGS: usize = 8;

/// The clock of an agent's machine, which is read again now and then: two clocks drift apart.
#[derive(Debug)]
pub struct AgentClock {
    agent: AgentClient,
    /// Who is told.
    clock: ServerClock,
    /// It is the one that we read ourselves.
    is_ours: bool,
}

/// What one reading says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Reading {
    round_trip_ns: u64,
    ahead_ns: i64,
}

impl AgentClock {
    /// Reads it for the first time.
    pub fn read(agent: AgentClient, clock: ServerClock) -> Result<Self, Failure> {
        let own = Clock::of_this_process();
        let is_ours = own.is_some() && agent.clock()?.clock == own;
        let clock = Self {
            agent,
            clock,
            is_ours,
        };
        clock.read_again()?;
        Ok(clock)
    }

    /// Reads it again. If it fails, what was known still holds.
    pub fn read_again(&self) -> Result<(), Failure> {
        if self.is_ours {
            return Ok(());
        }
        let readings = (0..READINGS).map(|_| {
            let asked_ns = monotonic_ns();
            let theirs_ns = self.agent.clock()?.monotonic_ns;
            Ok(Reading::new(asked_ns, theirs_ns, monotonic_ns()))
        });
        let readings: Vec<Reading> = readings.collect::<Result<_, Failure>>()?;
        let best = readings.iter().min_by_key(|reading| reading.round_trip_ns);
        // What is known already may be known better than a network tells that is busy now.
        if let Some(best) = best
            && !best.allows(self.clock.ahead_ns())
        {
            self.clock.set_ahead(best.ahead_ns);
        }
        Ok(())
    }
}

impl Reading {
    /// The answer was given at some time between asking and getting it: in the middle, for all that is known.
    fn new(asked_ns: u64, theirs_ns: u64, got_ns: u64) -> Self {
        Self {
            round_trip_ns: got_ns.saturating_sub(asked_ns),
            ahead_ns: theirs_ns
                .wrapping_sub(asked_ns.midpoint(got_ns))
                .cast_signed(),
        }
    }

    /// Whether the clock may be ahead by this.
    fn allows(self, ahead_ns: i64) -> bool {
        ahead_ns.abs_diff(self.ahead_ns) <= self.round_trip_ns / 2
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_is_off_by_half_a_round_trip_at_the_most() {
        let [before_ns, after_ns] = [1_000, 1_600];
        for (theirs_ns, ahead_ns) in [(9_000, 7_700), (700, -600), (1_300, 0)] {
            let reading = Reading::new(before_ns, theirs_ns, after_ns);
            assert_eq!((reading.round_trip_ns, reading.ahead_ns), (600, ahead_ns));
            assert!(reading.allows(ahead_ns - 300) && reading.allows(ahead_ns + 300));
            assert!(!reading.allows(ahead_ns - 301) && !reading.allows(ahead_ns + 301));
        }
    }
}

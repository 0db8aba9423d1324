//! What decides when a connection may send: in a closed loop the responses, in an open loop the plan.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use runlog::record::Request;
use runlog::summary::Spacing;

use crate::arrivals::{Arrivals, Draws, whole_ns};
use crate::pacer::Lateness;

/// How requests are paced in every block.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Pacing {
    /// Closed loop. The next request follows a response after this time.
    Closed {
        think_ns: u64,
        think_spacing: Spacing,
    },
    /// Open loop.
    Open {
        rate_per_second: f64,
        arrivals: Spacing,
        /// Later than this is late.
        limit_ns: u64,
    },
}

/// The pace of one block.
#[derive(Debug)]
pub enum Pace {
    /// Closed loop.
    Closed(Closed),
    /// Open loop.
    Open(Open),
}

impl Pacing {
    /// A closed loop without think time.
    #[cfg(test)]
    pub const CLOSED: Self = Self::Closed {
        think_ns: 0,
        think_spacing: Spacing::Constant,
    };

    /// The pace of a block of at most `requests`, which begins at `start_ns` and sends none from `end_ns`
    /// on.
    pub fn start(self, seed: u64, block: u32, requests: u64, start_ns: u64, end_ns: u64) -> Pace {
        match self {
            Self::Closed {
                think_ns,
                think_spacing,
            } => Pace::Closed(Closed {
                think_ns,
                draws: Draws::new(think_spacing, think_ns as f64, seed, block),
                thinking: BinaryHeap::new(),
                left: requests,
            }),
            Self::Open {
                rate_per_second,
                arrivals,
                limit_ns,
            } => {
                let draws = Draws::new(arrivals, 1e9 / rate_per_second, seed, block);
                Pace::Open(Open {
                    arrivals: Arrivals::new(draws, start_ns, end_ns, requests),
                    backlog: VecDeque::new(),
                    lateness: Lateness::new(limit_ns),
                })
            }
        }
    }
}

/// Closed loop: as many users as requests may be under way. Each sends, waits for its response, thinks,
/// and sends again, always on the same place.
#[derive(Debug)]
pub struct Closed {
    think_ns: u64,
    draws: Draws,
    /// When users will have done thinking, and at which places they are.
    thinking: BinaryHeap<Reverse<(u64, usize)>>,
    /// Requests yet to be sent.
    pub left: u64,
}

impl Closed {
    /// A user at `slot` got its response. Returns whether it sends the next at once, and not after some
    /// thinking.
    pub fn sends_at_once(&mut self, slot: usize, now_ns: u64) -> bool {
        if self.think_ns == 0 {
            return true;
        }
        let pause_ns = whole_ns(self.draws.next_ns());
        self.thinking.push(Reverse((now_ns + pause_ns, slot)));
        false
    }

    /// When the next user has done thinking.
    pub fn next_ns(&self) -> Option<u64> {
        self.thinking.peek().map(|Reverse((due_ns, _))| *due_ns)
    }

    /// The place of a user who has done thinking.
    pub fn take_due(&mut self, now_ns: u64) -> Option<usize> {
        if self.next_ns()? > now_ns {
            return None;
        }
        self.thinking.pop().map(|Reverse((_, slot))| slot)
    }
}

/// Open loop: requests become due by the plan, and wait here until a connection is free.
#[derive(Debug)]
pub struct Open {
    /// The plan.
    pub arrivals: Arrivals,
    /// Due and waiting: planned instants and flags.
    pub backlog: VecDeque<(u64, u16)>,
    /// The pacer.
    pub lateness: Lateness,
}

impl Open {
    /// Takes the next request out of the plan if it is due; returns its instant and flags.
    pub fn take_due(&mut self, now_ns: u64) -> Option<(u64, u16)> {
        let planned_ns = self.arrivals.next_ns().filter(|due_ns| *due_ns <= now_ns)?;
        self.arrivals.take();
        let is_late = self.lateness.add(now_ns - planned_ns);
        Some((planned_ns, if is_late { Request::LATE } else { 0 }))
    }

    /// Lets a request wait, as no connection is free.
    pub fn queue(&mut self, planned_ns: u64, flags: u16) {
        self.lateness.queued += 1;
        self.backlog
            .push_back((planned_ns, flags | Request::QUEUED));
    }

    /// The last planned instant, once no more will become due.
    pub fn last_ns(&self) -> Option<u64> {
        match self.arrivals.next_ns() {
            Some(_) => None,
            None => Some(self.arrivals.last_ns()),
        }
    }

    /// Whether no request is due any more, nor waiting.
    pub fn is_done(&self) -> bool {
        self.backlog.is_empty() && self.arrivals.next_ns().is_none()
    }
}

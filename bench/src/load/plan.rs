//! What is measured, and how much of it.

use std::fmt;

use serde::Serialize;

use crate::load::generator::Kind;

/// Where the generator runs; the server always has the same CPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Placement {
    /// Both on one core.
    One,
    /// Each on a core of its own.
    Two,
}

impl Placement {
    /// The generator's CPU, of the server's and another.
    pub fn client_cpu(self, [server, other]: [usize; 2]) -> usize {
        match self {
            Self::One => server,
            Self::Two => other,
        }
    }
}

impl fmt::Display for Placement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::One => "one core",
            Self::Two => "two cores",
        })
    }
}

/// How much is measured.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Rounds.
    pub rounds: u32,
    /// Of each load.
    pub seconds: u32,
    /// Numbers of connections.
    pub connections: Vec<u32>,
    /// Placements.
    pub placements: Vec<Placement>,
    /// CPU of the server, and another; the same where there is but one.
    pub cpus: [usize; 2],
    /// Seed of the order.
    pub seed: u64,
}

/// A limit on how many times as many requests a second ours must answer as a peer's.
#[derive(Clone, Copy, Debug)]
pub struct SpeedTarget {
    pub connections: u32,
    pub peer: Kind,
    pub at_least: f64,
}

/// What is to be reached on one core. On two, generators wait for wake-ups and all look alike.
pub const SPEED_TARGETS: [SpeedTarget; 4] = [
    SpeedTarget {
        connections: 1,
        peer: Kind::Wrk,
        at_least: 1.0,
    },
    SpeedTarget {
        connections: 1,
        peer: Kind::Oha,
        at_least: 1.2,
    },
    SpeedTarget {
        connections: 32,
        peer: Kind::Wrk,
        at_least: 0.95,
    },
    SpeedTarget {
        connections: 32,
        peer: Kind::Oha,
        at_least: 1.1,
    },
];

/// The most that the median latency at one connection may differ from that at the sockets, in ns.
pub const FIDELITY_TARGET_NS: f64 = 3_000.0;

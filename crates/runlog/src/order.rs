//! In which order the blocks of a run go.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Order of the blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[cfg_attr(feature = "clap", derive(clap::ValueEnum))]
#[serde(rename_all = "lowercase")]
pub enum Order {
    /// In each round every arm has one block, in an order drawn anew (randomized multiple interleaved
    /// trials)
    ///
    /// With probes, a round has two halves, attached and detached, drawn anew too (a split-plot design):
    /// attaching and detaching takes the kernel a grace period, and arms that are compared stay close in
    /// time.
    Rmit,
    /// Two arms at once, the first beside each of the others, sides swapped in every second round
    ///
    /// Blocks 2n and 2n + 1 run at once, the even one on the first of the placement's CPUs. What disturbs
    /// one disturbs both.
    Duet,
    /// All blocks of an arm, then all of the next, as in the paper: what drifts falls on one arm
    Sequential,
    /// Arms are drawn request by request, within each server's process
    ///
    /// A block has requests of all arms. It takes a bracket around the hook, which goes past it as each request
    /// wants.
    Trial,
}

impl Order {
    /// Its name on the command line and in files.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Rmit => "rmit",
            Self::Duet => "duet",
            Self::Sequential => "sequential",
            Self::Trial => "trial",
        }
    }

    /// How many blocks run at once. The first of them is on the first side.
    pub const fn at_once(self) -> usize {
        match self {
            Self::Duet => 2,
            Self::Rmit | Self::Sequential | Self::Trial => 1,
        }
    }
}

impl fmt::Display for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_has_one_name_everywhere() {
        for order in [Order::Rmit, Order::Duet, Order::Sequential, Order::Trial] {
            assert_eq!(serde_json::to_value(order).unwrap(), order.name());
            assert_eq!(order.to_string(), order.name());
            #[cfg(feature = "clap")]
            {
                let value = clap::ValueEnum::to_possible_value(&order).unwrap();
                assert_eq!(value.get_name(), order.name());
            }
        }
    }
}

//! How the load generator lets another program act between blocks: one JSON object a line.
//!
//! The load generator writes [`Event`]s to stdout. After [`Event::BlockPlanned`] it waits for a line
//! on stdin before it opens the block's connections; the end of stdin ends the run. Between two
//! blocks no connection is open.

use serde::{Deserialize, Serialize};

/// What the load generator says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// The next block waits for its go-ahead.
    BlockPlanned {
        /// Number of the block in the run, from 0.
        block: u32,
        /// Blocks in the run.
        blocks: u32,
        /// Index of the arm on the load generator's command line.
        arm: u16,
        /// Whether the probes are to be attached.
        observed: bool,
        /// The arm of the block with the next number, where that one runs at the same time: on the second
        /// side, and this one on the first.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        beside: Option<u16>,
    },
    /// A block has ended, and with it the one beside it; their connections are closed.
    BlockDone {
        /// Number of the block in the run, from 0; of two that ran at once, the higher one.
        block: u32,
    },
    /// The run has ended and its files are written.
    RunDone {
        /// Why it ended early, or null.
        cut_short: Option<String>,
    },
}

/// The line that lets a block begin.
pub const GO: &str = "go";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_have_a_stable_shape() {
        let event = Event::BlockPlanned {
            block: 3,
            blocks: 9,
            arm: 1,
            observed: true,
            beside: None,
        };
        let line = r#"{"event":"block_planned","block":3,"blocks":9,"arm":1,"observed":true}"#;
        assert_eq!(serde_json::to_string(&event).unwrap(), line);
        assert_eq!(serde_json::from_str::<Event>(line).unwrap(), event);
        let two =
            r#"{"event":"block_planned","block":4,"blocks":9,"arm":1,"observed":true,"beside":0}"#;
        let Event::BlockPlanned { beside, .. } = serde_json::from_str(two).unwrap() else {
            panic!("another event");
        };
        assert_eq!(beside, Some(0));
    }
}

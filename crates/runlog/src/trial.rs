//! Trials: what their servers counted, `trial-counts.json`, and what came out of them.

mod result;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use result::{
    ArmEffect, BracketInSitu, CarryOver, CountsCheck, DifferenceBudget, DifferenceLine,
    DifferingCount, Dose, Doses, LagEffect, Overhead, ProcessEffect, QuantileEffect,
    Rerandomisation, SlicesResult, TrialResult, Undisturbed, UndisturbedEffect,
};

/// Version of this shape.
pub const SCHEMA: &str = "hookprobe/trial-counts/1";

/// The counts of all servers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct TrialCounts {
    /// [`SCHEMA`].
    pub schema: String,
    /// By number of the server, as blocks take them in turn.
    pub servers: Vec<ServerCounts>,
}

/// The counts of one server, over its life.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ServerCounts {
    /// Processes that had the bracket.
    pub processes: u64,
    /// Connections that were accepted.
    pub connections: u64,
    /// First requests of connections, which carry the salt and belong to no arm.
    pub first_requests: u64,
    /// Connections whose first request carried no salt: their requests belong to no arm.
    pub without_salt: u64,
    /// Requests that did not begin where the one before should have ended.
    pub off_boundary: u64,
    /// Calls that read beyond the request that they began in.
    pub beyond_request: u64,
    /// By name of the arm.
    pub arms: BTreeMap<String, ArmCounts>,
    /// Where the records of calls went.
    pub records: RecordLedger,
}

/// The counts of one arm in one server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ArmCounts {
    /// Requests that were drawn.
    pub requests: u64,
    /// Calls that returned bytes of them.
    pub calls: u64,
    /// Of these, calls that never got behind the hook.
    pub unreached: u64,
    /// Bytes that these calls returned.
    pub bytes: u64,
}

/// Where the records of calls went. It balances if `begun` is the sum of the next three.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct RecordLedger {
    /// Records that writers began.
    pub begun: u64,
    /// Read whole.
    pub read: u64,
    /// Overwritten before they were read.
    pub overwritten: u64,
    /// Begun and never completed, or not as they were written.
    pub torn: u64,
    /// Calls that were not recorded, as their spans were too long for a record.
    pub unrecordable: u64,
}

impl RecordLedger {
    /// Whether each record that was begun is accounted for.
    pub fn is_balanced(&self) -> bool {
        let unread = self.begun.checked_sub(self.read);
        unread.and_then(|unread| unread.checked_sub(self.overwritten)) == Some(self.torn)
    }

    /// Calls of which nothing more is known. Servers count the last, and can write what they like there.
    pub fn lost(&self) -> u64 {
        let lost = self.overwritten.saturating_add(self.torn);
        lost.saturating_add(self.unrecordable)
    }
}

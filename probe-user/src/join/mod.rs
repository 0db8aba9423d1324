//! Joining probe records to requests: which reads of which server thread delivered which request?
//!
//! The join goes by connection and byte range alone: a request occupies bytes `first..end` of what
//! its client sent on a connection, and a read returned bytes `first..first + returned` of what the
//! server received on it. No clock is involved, so the clocks are an independent check.

mod block;
mod connections;
mod run;

pub use run::{JoinOutput, join_run};

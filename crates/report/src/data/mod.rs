//! What plots show, out of the logs of a run.

pub mod distribution;
pub mod lag;
pub mod requests;

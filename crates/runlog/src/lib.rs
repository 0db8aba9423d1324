//! What a hookprobe run leaves on disk, written and read here and nowhere else.
//!
//! A run directory holds `manifest.json` and `analysis.json` (shapes in [`manifest`] and
//! [`analysis`], with JSON schemas), the request log and the span log as NumPy structured arrays
//! ([`record`], [`table`]), one HDR interval log an arm ([`interval_log`]) and one CSV an arm in the
//! paper's format ([`paper_csv`]).
//!
//! All times are nanoseconds on `CLOCK_MONOTONIC` of the machine that took them, unless a name says
//! otherwise.

pub mod a_a;
pub mod agent;
pub mod agent_run;
pub mod analysis;
pub mod calibration;
pub mod clock;
pub mod comparison;
pub mod correlation;
pub mod directory;
pub mod doctor;
pub mod error;
pub mod estimate;
pub mod exact;
pub mod file;
pub mod gate;
pub mod groups;
pub mod interval_log;
pub mod json;
pub mod live;
pub mod load_api;
pub mod manifest;
pub mod merged;
pub mod micro;
pub mod order;
pub mod paper_csv;
pub mod quantity;
pub mod record;
pub mod role;
pub mod summary;
pub mod table;
pub mod trace;
pub mod trial;
pub mod truth;

#[cfg(test)]
mod tests;

pub use directory::RunDirectory;
pub use error::{Error, Result};
pub use order::Order;
pub use role::Role;

//! The commands.

pub mod a_a;
pub mod agent;
pub mod analyze;
pub mod bare;
pub mod bench;
pub mod calibrate;
pub mod compare;
pub mod correlate;
pub mod doctor;
pub mod events;
mod function;
pub mod kernel_histogram;
mod ladder;
pub mod live;
pub mod merge;
pub mod micro;
pub mod options;
pub mod repeat;
pub mod report;
pub mod round_trips;
pub mod trace;
pub mod truth;

pub use cli::End;

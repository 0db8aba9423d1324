//! The commands.

pub mod agent;
pub mod analyze;
pub mod bare;
pub mod bench;
pub mod correlate;
pub mod doctor;
pub mod events;
mod function;
pub mod kernel_histogram;
mod ladder;
pub mod live;
pub mod merge;
pub mod micro;
pub mod moved;
pub mod options;
pub mod report;
pub mod round_trips;
mod settings;
pub mod trace;
pub mod validate;

pub use cli::End;

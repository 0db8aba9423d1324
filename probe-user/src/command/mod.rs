//! The commands.

pub mod agent;
pub mod analyze;
pub mod bench;
pub mod correlate;
pub mod doctor;
pub mod events;
mod function;
mod ladder;
pub mod live;
pub mod merge;
pub mod micro;
pub mod moved;
pub mod options;
pub mod report;
mod settings;
mod slices;
pub mod trace;
mod trial;
pub mod validate;

pub use cli::End;

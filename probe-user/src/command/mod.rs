//! The commands.

pub mod a_a;
pub mod agent;
pub mod analyze;
pub mod bench;
pub mod calibrate;
pub mod compare;
pub mod correlate;
pub mod doctor;
pub mod events;
mod function;
mod ladder;
pub mod live;
pub mod merge;
pub mod micro;
pub mod options;
pub mod repeat;
pub mod report;
pub mod trace;
pub mod truth;

use std::process::ExitCode;

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It did what it was asked for.
    Complete,
    /// It was stopped early; what it had is written down.
    CutShort,
    /// It is complete, and its result is not to be used: the output says why.
    NotUsable,
}

impl From<End> for ExitCode {
    fn from(end: End) -> Self {
        match end {
            End::Complete => Self::SUCCESS,
            End::CutShort => Self::from(3),
            End::NotUsable => Self::from(4),
        }
    }
}

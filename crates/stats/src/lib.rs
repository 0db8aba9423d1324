//! The statistics that hookprobe's comparisons rest on. No I/O, no clock, no async.
//!
//! Requests are not independent, so the unit of replication is the block: a run of consecutive
//! requests to one arm. A block is summed up by a trimmed mean ([`trim`], [`grouped`] for histograms),
//! and intervals are Student's t on those block means ([`interval`]), paired by round where arms are
//! compared. What is no mean, a quantile or Cliff's delta, gets its interval by drawing blocks again
//! ([`bootstrap`]).
//!
//! Values must be finite: who reads them checks that.

pub mod binomial;
pub mod bootstrap;
pub mod change_point;
pub mod counted;
pub mod coverage;
pub mod dependence;
pub mod distribution;
pub mod grouped;
pub mod interval;
pub mod level;
pub mod location;
pub mod mode;
pub mod moments;
pub mod multiple;
pub mod power;
pub mod ranks;
pub mod ratio;
pub mod redraw;
#[cfg(test)]
mod simulation;
pub mod slope;
pub mod spread;
pub mod t_test;
pub mod trim;

pub use counted::Counted;
pub use interval::{Interval, mean_interval, paired_difference};
pub use location::Location;
pub use moments::Moments;
pub use trim::{Trim, mean};

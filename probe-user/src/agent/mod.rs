//! The agent that stays: it finds the processes of arms, watches them while they come and go, and serves what it has
//! seen.
//!
//! One thread, the [`core`], owns the probes and scans; [`http`] asks it.

mod access;
mod bracketed;
pub mod core;
pub mod fetch;
mod heartbeat;
pub mod http;
mod libraries;
mod listeners;
mod metrics;
mod observer;
mod recording;
pub mod rules;
pub mod runs;
mod series;
mod snapshot;
mod watch;

//! Running an experiment: starting the arms, letting the load generator run over them, attaching
//! and detaching the probes between blocks, keeping what they record.

pub mod arms;
mod block_reads;
pub mod bracket;
pub mod calibration;
pub mod experiment;
mod foreign_load;
mod generator;
pub mod hook_file;
pub mod identity;
mod listen_drops;
pub mod loadgen;
pub mod micro;
pub mod preloaded;
pub mod process;
pub mod programs;
mod resources;
pub mod scheduling;
mod server_log;
pub mod shared_memory;
pub mod span_log;
pub mod stop;
pub mod turn;

//! What to probe ([`discover`]), and the probes: loading, attaching, draining, and the ledger of where every hit went.
//! The only crate that speaks to the kernel's BPF.

pub mod attach;
mod bpf;
pub mod capabilities;
pub mod discover;
pub mod kernel_info;
pub mod kernel_types;
mod lanes;
pub mod ledger;
pub mod load;
pub mod loader;
mod look_up;
pub mod memory;
mod numbers;
pub mod pair;
pub mod perf;
pub mod records;
pub mod return_probe;
pub mod ring;
pub mod running;
pub mod site_offset;
pub mod spans;
pub mod tables;
pub mod totals;
mod unclaimed;
pub mod uprobes;

pub use loader::{LoadError, Options, Probes, Writing};
pub use pair::KernelProbe;
pub use site_offset::SiteChoice;

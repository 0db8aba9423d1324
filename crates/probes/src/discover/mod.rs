//! What to probe: processes, the files they have mapped, symbols and probe sites in those files.

pub mod container;
pub mod elf;
pub mod function;
pub mod generation;
pub mod mapped;
pub mod page;
pub mod ports;
pub mod processes;
pub mod sites;
mod unwind;

//! What to probe: processes, the files they have mapped, symbols and probe sites in those files.

pub mod elf;
pub mod function;
pub mod mapped;
pub mod processes;
pub mod sites;
mod unwind;

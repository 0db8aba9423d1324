//! What to probe: processes, the files they have mapped, symbols and probe sites in those files.

pub mod elf;
pub mod mapped;
pub mod processes;
pub mod sites;

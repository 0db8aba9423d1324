//! What the command lines of our programs share: their manual, and how they print results.

mod manual;
mod output;
mod panic;

pub use manual::parse;
pub use output::{exit_code, print};

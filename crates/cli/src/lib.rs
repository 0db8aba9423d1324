//! What the command lines of our programs share: their manual, how they print results, and how they end.

mod end;
mod manual;
mod output;
mod panic;

pub use end::{End, end};
pub use manual::parse;
pub use output::print;

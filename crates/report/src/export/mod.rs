//! Other formats: plots as files, the table for other programs and for texts, a trace.

pub mod plots;
pub mod table;
pub mod trace;

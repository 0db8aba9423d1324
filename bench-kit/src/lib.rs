//! What the benches share: hook-bench, trace-bench and load-bench.
//!
//! [`children`] starts programs so that signals and CPUs reach them as meant, [`running`] keeps one that
//! observes, [`worker`] one that takes orders. [`estimate`] has means with their intervals and the verdicts
//! on them, [`table`] prints, [`machine`] names what was measured on.

pub mod children;
pub mod estimate;
pub mod machine;
pub mod running;
pub mod table;
pub mod worker;

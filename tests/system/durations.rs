//! How long tests took: the slowest decide how long everybody waits.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How many are shown.
const SHOWN: usize = 12;

/// What each test took.
#[derive(Debug, Default)]
pub struct Durations(Mutex<Vec<(Duration, &'static str)>>);

impl Durations {
    /// Runs a test, and keeps how long it took.
    pub fn time<T>(&self, name: &'static str, test: impl FnOnce() -> T) -> T {
        let start = Instant::now();
        let result = test();
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push((start.elapsed(), name));
        result
    }

    /// Prints the slowest, and their sum.
    pub fn print(&self) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.sort_unstable_by(|left, right| right.cmp(left));
        let sum: Duration = all.iter().map(|(took, _)| *took).sum();
        println!("tests took {:.0} s, of these", sum.as_secs_f64());
        for (took, name) in all.iter().take(SHOWN) {
            println!("{:7.1} s  {name}", took.as_secs_f64());
        }
    }
}

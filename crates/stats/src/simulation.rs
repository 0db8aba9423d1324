//! Made-up noise for tests, from fixed seeds.

use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use crate::distribution::normal_quantile;

/// A stream of noise.
#[derive(Debug)]
pub struct Noise(ChaCha8Rng);

impl Noise {
    /// The stream of a seed.
    pub fn seeded(seed: u64) -> Self {
        Self(ChaCha8Rng::seed_from_u64(seed))
    }

    /// Evenly distributed from 0 to below 1.
    pub fn even(&mut self) -> f64 {
        self.0.random()
    }

    /// Independent standard normal values.
    pub fn normal(&mut self, count: usize) -> Vec<f64> {
        let value = |even: f64| normal_quantile(even.clamp(1e-15, 1.0 - 1e-15));
        (0..count).map(|_| value(self.even())).collect()
    }

    /// A first-order autoregressive series with this correlation and innovations of standard deviation 1.
    pub fn autoregressive(&mut self, count: usize, correlation: f64) -> Vec<f64> {
        const SETTLE: usize = 50;
        let mut level = 0.0;
        let values = self.normal(count + SETTLE).into_iter().map(|innovation| {
            level = correlation * level + innovation;
            level
        });
        values.skip(SETTLE).collect()
    }
}

//! The mean of a quantity that was seen round by round, in servers that take turns.
//!
//! Rounds that follow each other are alike, as the machine has moods; and servers differ for as long as they live. Either makes
//! Student's interval over rounds too narrow, and the other's remedy does not help. So the variance of the mean has two parts.

use std::f64::consts::{PI, SQRT_2};

use crate::interval::{Interval, half_width};
use crate::moments::Moments;
use crate::trim::mean;

/// The fewest cosines whose weights are averaged, where there are as many.
const FEWEST_COSINES: usize = 4;

/// The mean of `rounds` with its 95 % interval; those of each server follow each other at a distance of `servers`. A missing round
/// is left out. `None` below two values.
///
/// The part of time is the variance at the lowest frequencies: the mean square of the series' first B cosine transforms, B = 0.4
/// n^(2/3) (E. Lazarus, D. J. Lewis, J. H. Stock, M. W. Watson, *HAR inference: recommendations for practice*, Journal of Business &
/// Economic Statistics 36, 2018). With all n - 1 of them it is the variance of independent values. The part of servers is what their
/// means vary more than rounds within them explain. Degrees of freedom are Satterthwaite's.
pub fn level_interval(rounds: &[Option<f64>], servers: usize) -> Option<Interval> {
    let known: Vec<f64> = rounds.iter().flatten().copied().collect();
    let estimate = mean(&known)?;
    let (of_time, cosines) = variance_in_time(&known, estimate)?;
    let of_servers = variance_of_servers(rounds, servers);
    let variance = of_time + of_servers;
    let freedom = of_time.powi(2) / cosines as f64
        + if servers > 1 {
            of_servers.powi(2) / (servers - 1) as f64
        } else {
            0.0
        };
    let freedom = if freedom > 0.0 {
        variance.powi(2) / freedom
    } else {
        cosines as f64
    };
    let half_width = half_width(variance.sqrt(), freedom)?;
    Some(Interval {
        estimate,
        ci95: [estimate - half_width, estimate + half_width],
        blocks: known.len(),
    })
}

/// The variance of the mean of a series, whatever its rounds have to do with each other, and its degrees of freedom.
fn variance_in_time(series: &[f64], mean: f64) -> Option<(f64, usize)> {
    let count = series.len();
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "less than a count, rounded down"
    )]
    let usual = (0.4 * (count as f64).powf(2.0 / 3.0)) as usize;
    let cosines = usual.max(FEWEST_COSINES).min(count.checked_sub(1)?);
    let weight = |frequency: usize| {
        let step = PI * frequency as f64 / count as f64;
        let rounds = (0..).zip(series);
        let sum: f64 = rounds
            .map(|(index, value)| (value - mean) * (step * (f64::from(index) + 0.5)).cos())
            .sum();
        sum * SQRT_2 / (count as f64).sqrt()
    };
    let squares: f64 = (1..=cosines).map(|of| weight(of).powi(2)).sum();
    (cosines > 0).then(|| (squares / cosines as f64 / count as f64, cosines))
}

/// What servers that differ add to the variance of the mean of all.
fn variance_of_servers(rounds: &[Option<f64>], servers: usize) -> f64 {
    if servers < 2 {
        return 0.0;
    }
    let of_server = |server: usize| -> Vec<f64> {
        let own = rounds.iter().skip(server).step_by(servers);
        own.flatten().copied().collect()
    };
    // What a single round says of its server is not told from the round; with no more of any, all is in time.
    let all: Vec<Moments> = (0..servers)
        .filter_map(|server| Moments::of(&of_server(server)))
        .collect();
    let means: Vec<f64> = all.iter().map(|of| of.mean).collect();
    let within: Vec<f64> = all.iter().map(Moments::squared_error).collect();
    let between = Moments::of(&means).map_or(0.0, |of| of.variance);
    (between - mean(&within).unwrap_or(0.0)).max(0.0) / servers as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mean_interval;
    use crate::simulation::Noise;

    /// How often the interval holds the true level, 0.
    fn coverage(rounds: usize, servers: usize, correlation: f64, server_sd: f64) -> f64 {
        const RUNS: u32 = 3_000;
        let mut noise = Noise::seeded(7);
        let mut held = 0;
        for _ in 0..RUNS {
            let own = noise.normal(servers);
            let series = noise.autoregressive(rounds, correlation);
            let seen = series
                .iter()
                .zip(own.iter().cycle())
                .map(|(value, own)| Some(value + server_sd * own));
            let interval = level_interval(&seen.collect::<Vec<_>>(), servers).unwrap();
            held += u32::from(interval.contains(0.0));
        }
        f64::from(held) / f64::from(RUNS)
    }

    #[test]
    fn intervals_hold_where_rounds_resemble_their_neighbours() {
        for (rounds, servers) in [(96, 1), (96, 8), (192, 16)] {
            let share = coverage(rounds, servers, 0.43, 0.0);
            assert!(
                (0.935..=0.965).contains(&share),
                "{rounds} {servers}: {share}"
            );
        }
    }

    #[test]
    fn intervals_hold_where_servers_differ() {
        for (correlation, server_sd) in [(0.0, 1.5), (0.43, 1.5), (0.43, 0.5)] {
            let share = coverage(192, 16, correlation, server_sd);
            assert!(
                (0.93..=0.97).contains(&share),
                "{correlation} {server_sd}: {share}"
            );
        }
    }

    /// The first eight rounds are missing, as in a run that begins with a warm-up: eight servers have one round, the others two.
    #[test]
    fn servers_with_a_single_round_do_not_hide_that_servers_differ() {
        let own = |round: usize| f64::from(u8::try_from(round % 16 * 7 % 16).unwrap());
        let rounds: Vec<Option<f64>> = (0..32)
            .map(|round| (round >= 8).then(|| 100.0 * own(round)))
            .collect();
        let of_servers = variance_of_servers(&rounds, 16);
        // Of 16 values 100 apart, of which eight are seen twice, without noise.
        assert!(of_servers > 100.0 * 100.0, "{of_servers}");
    }

    /// With all cosines the variance is that of independent values.
    #[test]
    fn few_rounds_have_students_interval() {
        let values = [3.0, 1.0, 4.0, 1.0, 5.0];
        let student = mean_interval(&values).unwrap();
        let level = level_interval(&values.map(Some), 1).unwrap();
        assert!((level.half_width() - student.half_width()).abs() < 1e-12);
        assert_eq!(level_interval(&[Some(1.0), None], 1), None);
    }
}

//! The crate against `SciPy`, on kept inputs and results: `check/expected.py` wrote them, and says with
//! which versions.

use serde::Deserialize;
use stats::change_point::{WarmUp, warm_up};
use stats::dependence::lag1_autocorrelation;
use stats::distribution::{t_quantile, t_two_sided};
use stats::moments::quantile;
use stats::multiple::holm;
use stats::power::power;
use stats::ranks::{cliffs_delta, mann_whitney, spearman};
use stats::slope::theil_sen;
use stats::t_test::{TTest, pooled_sd, student, welch};
use stats::{Moments, mean_interval};

/// Largest relative difference.
const TOLERANCE: f64 = 1e-9;

#[derive(Deserialize)]
struct Expected {
    two_samples: Vec<TwoSamples>,
    summaries: Vec<Summaries>,
    t_distribution: TDistribution,
    one_sample_intervals: Vec<OneSample>,
    correlations: Vec<Correlation>,
    power: Vec<Detection>,
    autocorrelations: Vec<Autocorrelation>,
    holm: Vec<Holm>,
    quantiles: Vec<Quantiles>,
    warm_ups: Vec<Warming>,
}

#[derive(Deserialize)]
struct TwoSamples {
    name: String,
    control: Vec<f64>,
    treatment: Vec<f64>,
    pooled_sd: f64,
    student: Test,
    welch: Test,
    welch_ci95: [f64; 2],
    mann_whitney: MannWhitney,
    cliffs_delta: f64,
}

#[derive(Deserialize)]
struct Test {
    t: f64,
    df: Option<f64>,
    p: f64,
}

#[derive(Deserialize)]
struct MannWhitney {
    u: f64,
    p: f64,
    exact: bool,
}

#[derive(Deserialize)]
struct Summaries {
    control: Summary,
    treatment: Summary,
    student: Test,
    welch: Test,
}

#[derive(Deserialize)]
struct Summary {
    n: usize,
    mean: f64,
    sd: f64,
}

#[derive(Deserialize)]
struct TDistribution {
    tails: Vec<Tail>,
    quantiles: Vec<TQuantile>,
}

#[derive(Deserialize)]
struct Tail {
    df: f64,
    t: f64,
    p: f64,
}

#[derive(Deserialize)]
struct TQuantile {
    df: f64,
    probability: f64,
    t: f64,
}

#[derive(Deserialize)]
struct OneSample {
    values: Vec<f64>,
    ci95: [f64; 2],
}

#[derive(Deserialize)]
struct Correlation {
    name: String,
    x: Vec<f64>,
    y: Vec<f64>,
    spearman: Spearman,
    theil_sen: Line,
}

#[derive(Deserialize)]
struct Spearman {
    rho: f64,
    p: f64,
}

#[derive(Deserialize)]
struct Line {
    slope: f64,
    intercept: f64,
    ci95: [f64; 2],
}

#[derive(Deserialize)]
struct Detection {
    df: f64,
    effect_in_errors: f64,
    power: f64,
}

#[derive(Deserialize)]
struct Autocorrelation {
    values: Vec<f64>,
    lag1: f64,
}

#[derive(Deserialize)]
struct Warming {
    name: String,
    values: Vec<f64>,
    ends: usize,
}

#[derive(Deserialize)]
struct Holm {
    p: Vec<f64>,
    adjusted: Vec<f64>,
}

#[derive(Deserialize)]
struct Quantiles {
    values: Vec<f64>,
    quantiles: Vec<OneQuantile>,
}

#[derive(Deserialize)]
struct OneQuantile {
    q: f64,
    value: f64,
}

fn expected() -> Expected {
    serde_json::from_str(include_str!("../check/expected.json")).unwrap()
}

/// Fails unless `ours` is `theirs` to within [`TOLERANCE`], or both are 0 but for rounding.
#[track_caller]
fn agree(what: &str, ours: f64, theirs: f64) {
    let close = (ours - theirs).abs() <= TOLERANCE * theirs.abs().max(1e-300);
    let both_zero = ours.abs().max(theirs.abs()) < 1e-15;
    assert!(close || both_zero, "{what}: {ours:e}, SciPy has {theirs:e}");
}

#[track_caller]
fn tests_agree(what: &str, ours: &TTest, theirs: &Test) {
    agree(&format!("{what}: t"), ours.t, theirs.t);
    agree(&format!("{what}: p"), ours.p, theirs.p);
    if let Some(df) = theirs.df {
        agree(&format!("{what}: df"), ours.degrees_of_freedom, df);
    }
}

#[test]
fn t_tests() {
    for case in expected().two_samples {
        let control = Moments::of(&case.control).unwrap();
        let treatment = Moments::of(&case.treatment).unwrap();
        let pooled = pooled_sd(&control, &treatment);
        agree(&case.name, pooled, case.pooled_sd);
        let student = student(&control, &treatment).unwrap();
        tests_agree(&case.name, &student, &case.student);
        let welch = welch(&control, &treatment).unwrap();
        tests_agree(&case.name, &welch, &case.welch);
        let interval = welch.interval(case.control.len()).unwrap();
        for (ours, theirs) in interval.ci95.into_iter().zip(case.welch_ci95) {
            // An end may lie close to 0, so the width sets the scale.
            let off = (ours - theirs).abs() / interval.half_width();
            assert!(off < TOLERANCE, "{}: {ours} {theirs}", case.name);
        }
    }
}

#[test]
fn t_tests_of_sets_as_large_as_the_papers() {
    for case in expected().summaries {
        let moments = |set: &Summary| Moments {
            count: set.n,
            mean: set.mean,
            variance: set.sd * set.sd,
        };
        let (control, treatment) = (moments(&case.control), moments(&case.treatment));
        let what = format!("{} values", case.control.n);
        tests_agree(
            &what,
            &student(&control, &treatment).unwrap(),
            &case.student,
        );
        tests_agree(&what, &welch(&control, &treatment).unwrap(), &case.welch);
    }
}

#[test]
fn mann_whitney_and_cliffs_delta() {
    let cases = expected().two_samples;
    for case in &cases {
        let ours = mann_whitney(&case.control, &case.treatment).unwrap();
        agree(&format!("{}: U", case.name), ours.u, case.mann_whitney.u);
        agree(
            &format!("{}: p of U", case.name),
            ours.p,
            case.mann_whitney.p,
        );
        assert_eq!(ours.exact, case.mann_whitney.exact, "{}", case.name);
        let delta = cliffs_delta(&case.control, &case.treatment).unwrap();
        agree(&format!("{}: delta", case.name), delta, case.cliffs_delta);
    }
    let exact = cases.iter().filter(|case| case.mann_whitney.exact).count();
    assert!(
        (1..cases.len()).contains(&exact),
        "both methods are among them"
    );
}

#[test]
fn the_t_distribution() {
    let TDistribution { tails, quantiles } = expected().t_distribution;
    for Tail { df, t, p } in tails {
        agree(&format!("tail of {t}, df {df}"), t_two_sided(t, df), p);
    }
    for TQuantile { df, probability, t } in quantiles {
        let ours = t_quantile(probability, df).unwrap();
        agree(&format!("quantile {probability}, df {df}"), ours, t);
    }
}

#[test]
fn intervals_of_block_means() {
    for case in expected().one_sample_intervals {
        let interval = mean_interval(&case.values).unwrap();
        for (ours, theirs) in interval.ci95.into_iter().zip(case.ci95) {
            agree(&format!("{} values", case.values.len()), ours, theirs);
        }
    }
}

#[test]
fn rank_correlation_and_slope() {
    for case in expected().correlations {
        let rank = spearman(&case.x, &case.y).unwrap();
        agree(&format!("{}: rho", case.name), rank.rho, case.spearman.rho);
        agree(&format!("{}: p", case.name), rank.p, case.spearman.p);
        let slope = theil_sen(&case.x, &case.y).unwrap();
        agree(&case.name, slope.slope, case.theil_sen.slope);
        agree(&case.name, slope.intercept, case.theil_sen.intercept);
        agree(&case.name, slope.ci95[0], case.theil_sen.ci95[0]);
        agree(&case.name, slope.ci95[1], case.theil_sen.ci95[1]);
    }
}

#[test]
fn power_of_the_t_test() {
    for case in expected().power {
        let ours = power(case.effect_in_errors, case.df).unwrap();
        let what = format!("power of {} at df {}", case.effect_in_errors, case.df);
        agree(&what, ours, case.power);
    }
}

#[test]
fn autocorrelation() {
    for case in expected().autocorrelations {
        agree(
            "lag 1",
            lag1_autocorrelation(&case.values).unwrap(),
            case.lag1,
        );
    }
}

#[test]
fn holms_adjustment() {
    for case in expected().holm {
        for (ours, theirs) in holm(&case.p).into_iter().zip(case.adjusted) {
            agree("Holm", ours, theirs);
        }
    }
}

#[test]
fn quantiles() {
    for case in expected().quantiles {
        for OneQuantile { q, value } in case.quantiles {
            agree("quantile", quantile(&case.values, q).unwrap(), value);
        }
    }
}

#[test]
fn warm_ups() {
    for case in expected().warm_ups {
        assert_eq!(
            warm_up(&case.values),
            WarmUp::Ends(case.ends),
            "{}",
            case.name
        );
    }
}

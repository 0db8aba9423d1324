use std::collections::BTreeMap;

use runlog::estimate::{Estimate, Unit};
use runlog::trial::{
    CarryOver, CountsCheck, DifferenceBudget, DifferenceLine, Dose, Doses, LagEffect, Overhead,
    ProcessEffect, QuantileEffect, Rerandomisation, UndisturbedEffect,
};
use serde_json::{Value, json};

use super::*;
use crate::chart::{Chart, Size};
use crate::run::tests::half_a_run;

pub(crate) fn ns(value: f64, half_width: f64) -> Estimate {
    Estimate {
        estimate: value,
        ci95: [value - half_width, value + half_width],
        unit: Unit::Ns,
        estimand: "difference".to_owned(),
        method: "t".to_owned(),
        blocks: 8,
    }
}

fn budget(parts: [f64; 3]) -> DifferenceBudget {
    let names = ["before_return", "hook", "after_call"];
    let line = |(name, value): (&str, f64)| DifferenceLine {
        name: name.to_owned(),
        difference: ns(value, 3.0),
    };
    DifferenceBudget {
        requests: 10_000,
        lines: names.into_iter().zip(parts).map(line).collect(),
        total: ns(parts.iter().sum(), 9.0),
        outside_call: ns(parts[0] + parts[2], 8.0),
    }
}

pub(crate) fn trial() -> TrialResult {
    let effect = |value| ArmEffect {
        requests: 10_000,
        typical: Some(ns(value, 4.0)),
        body: Some(ns(value + 1.0, 5.0)),
        tail: Some(ns(2.0, 300.0)),
        mean: Some(ns(value + 3.0, 301.0)),
        share_above: Some(Estimate {
            unit: Unit::One,
            ..ns(0.001, 0.002)
        }),
    };
    let overhead = |value| Overhead {
        mean: Some(ns(value, 2.0)),
        typical: Some(ns(value - 1.0, 1.0)),
    };
    let lag = |lag, p| LagEffect {
        lag,
        effect: ns(1.0, 4.0),
        p,
    };
    TrialResult {
        trial: "seed=1 size=256 run=1 arms=off,null,on,on+1000".to_owned(),
        processes: 8,
        threshold_ns: Some(40_000.0),
        effects: [("null", 0.0), ("on", 98.0), ("on+1000", 1_140.0)]
            .map(|(arm, value)| (arm.to_owned(), effect(value)))
            .into(),
        undisturbed: Some(Undisturbed {
            share: 0.4,
            effects: [("null", 0.0), ("on", 97.0), ("on+1000", 1_138.0)]
                .map(|(arm, value)| {
                    let effect = UndisturbedEffect {
                        requests: 4_000,
                        end_to_end: ns(value, 3.0),
                        outside_call: Some(ns(7.0, 2.0)),
                    };
                    (arm.to_owned(), effect)
                })
                .into(),
            doses: None,
            agreement: None,
        }),
        by_process: vec![ProcessEffect {
            server: 3,
            body: ns(97.0, 6.0),
            in_situ: Some(ns(90.0, 1.0)),
        }],
        quantiles: [0.1, 0.5, 0.99]
            .map(|quantile| QuantileEffect {
                quantile,
                effect: ns(100.0 * quantile, 20.0),
            })
            .to_vec(),
        doses: Some(Doses {
            arms: vec![Dose {
                arm: "on+1000".to_owned(),
                delay_ns: 1_040.0,
                is_measured: true,
                effect: ns(1_042.0, 8.0),
            }],
            slope: Some(Estimate {
                unit: Unit::One,
                ..ns(1.002, 0.01)
            }),
        }),
        carry_over: vec![CarryOver {
            contrast: "hooked".to_owned(),
            lags: vec![lag(-1, Some(0.8)), lag(0, None), lag(1, Some(1.0))],
            steady: Some(ns(99.0, 12.0)),
        }],
        rerandomisation: Some(Rerandomisation {
            draws: 200,
            intervals: 1_600,
            share_holding: 0.949,
        }),
        counts: Some(CountsCheck {
            requests: 40_000,
            ..CountsCheck::default()
        }),
        in_situ: Some(BracketInSitu {
            blocking_reads: true,
            whole: overhead(110.0),
            after_read: overhead(92.0),
            calls_per_request: None,
            bytes_per_call: None,
        }),
        in_situ_missing: None,
        budgets: BTreeMap::from([
            ("on".to_owned(), budget([-4.0, 92.0, 10.0])),
            ("null".to_owned(), budget([0.0, 0.0, 0.0])),
        ]),
        in_situ_sources_differ_by: Some(ns(-3.0, 9.0)),
        slices: None,
    }
}

/// Every figure that a text has, and where it says that it stands.
pub(crate) fn figures(page: &str) -> Vec<(String, f64)> {
    let attribute = |text: &str, name: &str| -> Option<String> {
        let value = text.split(&format!("{name}=\"")).nth(1)?;
        Some(value.split('"').next()?.to_owned())
    };
    let elements = page
        .split('<')
        .filter(|element| element.contains("data-figure"));
    elements
        .map(|element| {
            let value = attribute(element, "data-value").or_else(|| attribute(element, " value"));
            let at = attribute(element, "data-figure").unwrap();
            (at, value.unwrap().parse().unwrap())
        })
        .collect()
}

#[test]
fn each_figure_is_the_one_of_the_file_where_it_says_that_it_stands() {
    let (_folder, run) = half_a_run(3);
    let trial = trial();
    let page = body(&run, &trial).into_string();
    let file = json!({ "trial": serde_json::to_value(&trial).unwrap() });
    let figures = figures(&page);
    assert!(figures.len() > 100, "{}", figures.len());
    for (at, shown) in figures {
        let pointer = at.strip_prefix("analysis.json#").unwrap();
        let kept = file.pointer(pointer).and_then(Value::as_f64);
        assert_eq!(kept, Some(shown), "{at}");
    }
}

#[test]
fn bars_begin_at_zero_and_end_where_their_parts_do() {
    let trial = trial();
    let chart = differences(&trial);
    let svg = chart.draw(Size::Wide).body.into_string();
    let number = |text: &str, name: &str| -> f64 {
        let value = text.split(&format!(" {name}=\"")).nth(1).unwrap();
        value.split('"').next().unwrap().parse().unwrap()
    };
    let zero = number(svg.split("class=\"zero\"").nth(1).unwrap(), "x1");
    let bars: Vec<(f64, f64)> = svg
        .split("<rect")
        .skip(1)
        .map(|bar| (number(bar, "x"), number(bar, "x") + number(bar, "width")))
        .collect();
    // By name: first null, then on with a part to the left and two to the right.
    let [left, hook, after] = bars[3..] else {
        panic!("{bars:?}")
    };
    assert!(
        (left.1 - zero).abs() < 0.11 && (hook.0 - zero).abs() < 0.11,
        "{zero} {bars:?}"
    );
    assert!((hook.1 - after.0).abs() < 0.11, "{bars:?}");
    // 92 ns are 9.2 times as long as 10.
    let ratio = (hook.1 - hook.0) / (after.1 - after.0);
    assert!((ratio - 9.2).abs() < 0.1, "{ratio}");
}

#[test]
fn drawings_of_a_trial_are_finite() {
    let trial = trial();
    let quantiles = QuantileChart(&trial.quantiles);
    let charts: [&dyn Chart; 3] = [&differences(&trial), &quantiles, &processes(&trial)];
    for chart in charts {
        for size in [Size::Wide, Size::Narrow] {
            let svg = chart.draw(size).body.into_string();
            assert!(
                !svg.contains("NaN") && !svg.contains("inf"),
                "{}",
                chart.id()
            );
        }
    }
}

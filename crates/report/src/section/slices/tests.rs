use runlog::estimate::Unit;
use runlog::trial::{Dose, Doses};
use serde_json::{Value, json};

use super::*;
use crate::chart::{Chart, Size};
use crate::run::tests::half_a_run;
use crate::section::trial::tests::{figures, ns, trial};

/// A response of 3 ns for each ns of delay.
fn doses() -> Doses {
    let dose = |delay_ns: f64| Dose {
        arm: format!("on+{delay_ns}"),
        delay_ns: delay_ns + 40.0,
        is_measured: true,
        effect: ns(3.0 * (delay_ns + 40.0), 100.0),
    };
    Doses {
        arms: [250.0, 500.0, 1_000.0].map(dose).to_vec(),
        slope: Some(Estimate {
            unit: Unit::One,
            ..ns(3.0, 0.2)
        }),
    }
}

fn slices() -> SlicesResult {
    let arms = [
        ("on", 98.0),
        ("null", 0.0),
        ("on+1000", 1_140.0),
        ("on+250", 390.0),
    ];
    SlicesResult {
        slice_ns: 10_000_000,
        washout_ns: 1_250_000,
        p99_ns: Some(250_000.0),
        rounds: 12,
        per_completed: Some(ns(9_000.0, 20.0)),
        effects: arms
            .map(|(arm, value)| (arm.to_owned(), ns(value, 15.0)))
            .into(),
        responses: RESPONSES.map(|(key, _)| (key.to_owned(), doses())).into(),
        washout_doubled: Some(ns(4.0, 21.0)),
        slices_doubled: Some(ns(-3.0, 22.0)),
        carry_over: Some(ns(5.0, 23.0)),
        other_arm: Some(0.002),
    }
}

/// A trial by these slices, which has nothing that is asked of requests one by one.
fn by_slices(slices: SlicesResult) -> TrialResult {
    TrialResult {
        trial: "seed=1 size=256 slice=10000000 arms=off,null,on,on+250,on+1000".to_owned(),
        undisturbed: None,
        carry_over: Vec::new(),
        rerandomisation: None,
        slices: Some(Box::new(slices)),
        ..trial()
    }
}

fn page(trial: &TrialResult) -> String {
    let (_folder, run) = half_a_run(3);
    body(&run, trial, trial.slices.as_ref().unwrap()).into_string()
}

/// The pointers of all estimates within a value.
fn estimates_of(value: &Value, at: &str) -> Vec<String> {
    match value {
        Value::Object(entries) if entries.contains_key("ci95") => vec![at.to_owned()],
        Value::Object(entries) => {
            let within = entries.iter();
            within
                .flat_map(|(key, value)| estimates_of(value, &format!("{at}/{key}")))
                .collect()
        }
        Value::Array(values) => {
            let within = values.iter().enumerate();
            within
                .flat_map(|(index, value)| estimates_of(value, &format!("{at}/{index}")))
                .collect()
        }
        _ => Vec::new(),
    }
}

#[test]
fn every_estimate_is_on_the_page_as_the_file_has_it() {
    let trial = by_slices(slices());
    let shown = figures(&page(&trial));
    let file = json!({ "trial": serde_json::to_value(&trial).unwrap() });
    for (at, value) in &shown {
        let pointer = at.strip_prefix("analysis.json#").unwrap();
        assert_eq!(
            file.pointer(pointer).and_then(Value::as_f64),
            Some(*value),
            "{at}"
        );
    }
    let estimates = estimates_of(&file["trial"]["slices"], "/trial/slices");
    // The level, 4 arms, 4 responses to 3 delays with a slope each, 3 checks.
    assert_eq!(estimates.len(), 1 + 4 + 4 * (3 + 1) + 3);
    for pointer in estimates {
        for part in ["estimate", "ci95/0", "ci95/1"] {
            let at = format!("analysis.json#{pointer}/{part}");
            assert!(shown.iter().any(|(shown, _)| *shown == at), "{at}");
        }
    }
}

#[test]
fn arms_stand_from_the_control_to_the_longest_delay() {
    let (_folder, run) = half_a_run(3);
    let rows = effects(&run, &slices()).rows;
    let labels: Vec<&str> = rows.iter().map(|row| row.label.as_str()).collect();
    let expected = [
        "null minus off (control)",
        "on minus off",
        "on+250 minus off",
        "on+1000 minus off",
    ];
    assert_eq!(labels, expected);
}

#[test]
fn a_run_without_delays_has_no_dose_and_response() {
    let without = SlicesResult {
        responses: std::collections::BTreeMap::new(),
        ..slices()
    };
    let page = page(&by_slices(without));
    assert!(!page.contains("Dose and response") && !page.contains("plot-responses"));
    assert!(page.contains("plot-slices"));
}

#[test]
fn requests_of_another_load_generator_are_told_by_the_servers() {
    let words = "from their first read to the write that answers them";
    let mut trial = by_slices(slices());
    assert!(!page(&trial).contains(words));
    trial.trial = trial.trial.replace(" size=256", "");
    assert!(page(&trial).contains(words));
}

/// What cannot be asked of slices is not there, not even as a heading, and no slope is held against 1.
#[test]
fn response_times_in_slices_have_no_part_that_is_empty() {
    let (_folder, run) = half_a_run(3);
    let page = |trial: &TrialResult| crate::section::trial::body(&run, trial).into_string();
    let by_request = [
        "request by request",
        "ndisturbed",
        "its neighbours",
        "drawn again",
        "must hold 1",
    ];
    let of_slices = page(&by_slices(slices()));
    let of_requests = page(&trial());
    for words in by_request {
        assert!(of_requests.contains(words), "{words}");
        assert!(!of_slices.contains(words), "{words}");
    }
    let mut nothing = by_slices(slices());
    nothing.effects.clear();
    let page = page(&nothing);
    assert!(page.contains("No effects:") && !page.contains("plot-effects"));
}

/// Where 1 ns costs 3, a mark of the longest delay is three times as far from 0 as the line of 1 ns for 1 ns.
#[test]
fn lines_of_dose_and_response_end_where_their_slopes_lead() {
    let slices = slices();
    for size in [Size::Wide, Size::Narrow] {
        let svg = responses(&slices).draw(size).body.into_string();
        assert!(!svg.contains("NaN") && !svg.contains("inf"));
        let panels: Vec<&str> = svg.split("<g transform").skip(1).collect();
        assert_eq!(panels.len(), 4);
        for panel in panels {
            let number = |text: &str, name: &str| -> f64 {
                let value = text.split(&format!(" {name}=\"")).nth(1).unwrap();
                value.split('"').next().unwrap().parse().unwrap()
            };
            let zero = number(panel.split("class=\"zero\"").nth(1).unwrap(), "y1");
            let end = |class: &str| -> [f64; 2] {
                let line = panel
                    .split(&format!("class=\"{class}\" d=\""))
                    .nth(1)
                    .unwrap();
                let end = line.split('"').next().unwrap().split('L').nth(1).unwrap();
                let mut numbers = end.split(' ').map(|number| number.parse().unwrap());
                [numbers.next().unwrap(), numbers.next().unwrap()]
            };
            let longest = panel.rsplit("<circle").next().unwrap();
            let mark = [number(longest, "cx"), number(longest, "cy")];
            let [one, fitted] = [end("line one-for-one"), end("line")];
            for (line, times) in [(one, 3.0), (fitted, 1.0)] {
                assert!((line[0] - mark[0]).abs() < 0.11, "{line:?} {mark:?}");
                let ratio = (zero - mark[1]) / (zero - line[1]);
                assert!((ratio - times).abs() < 0.02, "{ratio} {times}");
            }
        }
    }
}

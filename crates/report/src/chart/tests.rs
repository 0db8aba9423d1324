use runlog::estimate::{Estimate, Unit};

use super::blocks::Blocks;
use super::forest::{Forest, Row};
use super::*;
use crate::run::tests::half_a_run;
use crate::section::distribution::{box_chart, lag_chart};

fn forest(values: &[[f64; 3]], logarithmic: bool) -> Forest {
    let row = |[low, estimate, high]: &[f64; 3]| Row {
        group: None,
        label: "row".to_owned(),
        class: "layer-micro".to_owned(),
        at: "analysis.json#/micro".to_owned(),
        estimate: Estimate {
            estimate: *estimate,
            ci95: [*low, *high],
            unit: Unit::Ns,
            estimand: String::new(),
            method: String::new(),
            blocks: 2,
        },
    };
    Forest {
        id: "test",
        label: "test".to_owned(),
        axis: "axis".to_owned(),
        logarithmic,
        legend: Vec::new(),
        rows: values.iter().map(row).collect(),
    }
}

/// The numbers of an attribute, in the order of the drawing.
fn attribute(svg: &str, element: &str, name: &str) -> Vec<f64> {
    let elements = svg.split(element).skip(1);
    let value = |text: &str| {
        text.split(&format!(" {name}=\""))
            .nth(1)?
            .split('"')
            .next()?
            .parse()
            .ok()
    };
    elements.filter_map(value).collect()
}

#[test]
fn marks_lie_where_their_values_are() {
    for logarithmic in [false, true] {
        let svg = forest(&[[-100.0, 0.0, 100.0], [50.0, 100.0, 400.0]], logarithmic)
            .draw(Size::Wide)
            .body
            .into_string();
        let marks = attribute(&svg, "<circle", "cx");
        let whiskers = attribute(&svg, "<line class=\"whisker\"", "x1");
        let zero = attribute(&svg, "<line class=\"zero\"", "x1");
        assert_eq!(
            marks[0].to_bits(),
            zero[0].to_bits(),
            "an estimate of 0 is on the line of 0"
        );
        // The upper end of the first is the estimate of the second. Each row has the line and its two ends.
        assert!(
            (whiskers[2] - marks[1]).abs() < 0.11,
            "{whiskers:?} {marks:?}"
        );
        assert!(whiskers[1] < marks[0] && marks[0] < whiskers[2]);
    }
}

#[test]
fn every_drawing_is_finite_and_within_its_width() {
    let (_folder, run) = half_a_run(9);
    let requests = run.requests.as_ref().unwrap();
    let extreme = forest(&[[-1e12, -1.0, 0.0], [0.0, 0.0, 0.0]], true);
    let (boxes, lags) = (box_chart(requests), lag_chart(requests));
    let charts: [&dyn Chart; 4] = [&extreme, &boxes, &lags, &Blocks(requests)];
    for chart in charts {
        for size in [Size::Wide, Size::Narrow] {
            let Drawing {
                width,
                height,
                body,
            } = chart.draw(size);
            let svg = body.into_string();
            assert!(
                height > 0.0 && !svg.contains("NaN") && !svg.contains("inf"),
                "{svg}"
            );
            for name in ["x", "x1", "x2", "cx"] {
                let within = attribute(&svg, "<", name)
                    .into_iter()
                    .all(|x| (0.0..=width).contains(&x));
                assert!(within, "{} {name}", chart.id());
            }
        }
    }
}

#[test]
fn a_plot_alone_has_its_looks_and_its_title() {
    let svg = standalone(&forest(&[[1.0, 2.0, 3.0]], false));
    assert!(svg.starts_with("<?xml") && svg.contains("xmlns=\"http://www.w3.org/2000/svg\""));
    assert!(svg.contains("<title>test</title>") && svg.contains("prefers-color-scheme: dark"));
}

#[test]
fn paths_are_short() {
    assert_eq!(path([(0.0, 1.0), (2.25, 3.04)]), "M0 1L2.2 3");
    assert_eq!(dots([(1.0, 2.0)]), "M1 2h0");
}

use super::*;

fn figure(values: &[f64]) -> Figure {
    let mut figure = Figure::default();
    for value in values {
        figure.push(*value);
    }
    figure
}

fn speed(generator: Kind, values: &[f64]) -> Speed {
    Speed {
        requests_per_second: figure(values),
        ..Speed::new(generator, Placement::One, 1)
    }
}

#[test]
fn ours_is_compared_with_each_under_the_same_load() {
    let other_load = Speed {
        connections: 32,
        ..speed(Kind::Wrk, &[1.0, 1.0])
    };
    let mut report = Report {
        speed: vec![
            speed(Kind::Ours, &[300.0, 330.0]),
            speed(Kind::Wrk, &[200.0, 220.0]),
            other_load,
        ],
        ..Report::default()
    };
    report.compare();
    assert_eq!(report.speed[0].ours_times, None);
    let times = report.speed[1].ours_times.unwrap();
    assert!((times.estimate - 1.5).abs() < 1e-9, "{times:?}");
    assert_eq!(report.speed[2].ours_times, None, "ours has no such load");
    let [target] = &report.targets[..] else {
        panic!("{:?}", report.targets);
    };
    assert_eq!(target.verdict, Verdict::Holds);
}

#[test]
fn another_is_closer_where_ours_is_further_in_every_round() {
    let fidelity = |generator: Kind, errors_ns: &[f64]| Fidelity {
        generator: generator.name().to_owned(),
        error_ns: figure(errors_ns),
        ..Fidelity::default()
    };
    let mut report = Report {
        fidelity: vec![
            fidelity(Kind::Ours, &[500.0, 510.0, 505.0]),
            fidelity(Kind::Wrk, &[-100.0, 110.0, 105.0]),
            fidelity(Kind::Oha, &[1_500.0, 1_400.0, 1_600.0]),
        ],
        ..Report::default()
    };
    report.compare();
    let verdicts: Vec<Verdict> = report.targets.iter().map(|t| t.verdict).collect();
    assert_eq!(verdicts, [Verdict::Holds, Verdict::Missed, Verdict::Holds]);
    let further = report.fidelity[1].ours_further_ns.unwrap();
    assert!((further.estimate - 400.0).abs() < 1e-9, "{further:?}");
}

#[test]
fn rounds_that_were_not_ended_are_forgotten() {
    let mut speed = speed(Kind::Ours, &[1.0, 2.0, 30.0]);
    speed.keep(2);
    assert_eq!(speed.requests_per_second.by_round, [1.0, 2.0]);
    assert!((speed.requests_per_second.mean.unwrap().estimate - 1.5).abs() < 1e-9);
}
